/**
 * The whole house as a newcomer uses it, while its processes die: two users with two devices each, a text piped through
 * `send -`, kill -9 at moments that a seed tells, restarts on the same data and ports. The text must arrive complete, in
 * order and once on every device, live and by catch-up, and the history must hold it; so must what a crowd says beside it.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { eventually } from '../../lib/testing/eventually.ts'
import { Invariants } from '../../lib/testing/invariants.ts'
import { seeded } from '../../lib/testing/seeded.ts'
import { Chat, within } from './chat.ts'
import { Crowd } from './crowd.ts'
import { drawFaults, type Fault, type FaultKind, strike } from './faults.ts'
import { Judge } from './judge.ts'
import type { Mode } from './mode.ts'
import { Server } from './server.ts'
import { textOf } from './text.ts'

export type KillPlan = {
  readonly seed: number
  readonly lines: number
  readonly faults: number
  /** Default: all. */
  readonly kinds?: readonly FaultKind[]
  /** Without the server's limits of what a device may send, so that as many as can be are on their way at once. */
  readonly unlimited?: boolean
  /** Of all devices. */
  readonly mode: Mode
}

export type KillOutcome = {
  readonly seed: number
  /** Faults that hit a living process while messages were on their way. */
  readonly faultsLanded: number
  readonly acked: number
  /** Lines of the text that were not acked, or that a device or the history did not show. */
  readonly missing: number
  /** In words; empty when all is well. */
  readonly violations: readonly string[]
  readonly total: number
}

const UNLIMITED = ['frame-rate', 'frame-burst', 'byte-rate', 'byte-burst'].flatMap((name) => [
  `--${name}`,
  '1000000',
])

/** A device that is away, and what it was shown so far. */
type Late = { readonly profile: string; readonly screen: (line: string) => void; count: number }

/** Who chat beside it, so that every fault hits something. */
const PAIRS = 5
const GREETING = '👋🏿 «שלום»'
const FIRST_MS = 120_000
/** For the next ack after a fault. */
const FLOW_MS = 180_000
/** Lines given beyond those that must be acked before the next fault: it must hit while some are on their way. */
const AHEAD = 500
/** For the whole text, besides 5 ms a line (the default rate is 500 a second). */
const SEND_MS = 300_000
const SEND_LINE_MS = 5
const ARRIVE_MS = 180_000

export const runKill = async (
  plan: KillPlan,
  say: (line: string) => void,
): Promise<KillOutcome> => {
  await using server = await Server.start(plan.unlimited === true ? UNLIMITED : [])
  await using chat = await Chat.open(server.api, plan.mode)
  try {
    return await new KillRun(plan, server, chat, say).run()
  } catch (error) {
    throw new Error(`seed ${plan.seed}: ${(error as Error).message}\n${server.tail}`, {
      cause: error,
    })
  }
}

class KillRun {
  readonly #plan: KillPlan
  readonly #server: Server
  readonly #chat: Chat
  readonly #say: (line: string) => void
  readonly #text: readonly string[]
  readonly #faults: readonly Fault[]
  readonly #problems: string[] = []
  readonly #invariants = new Invariants()
  #landed = 0

  constructor(plan: KillPlan, server: Server, chat: Chat, say: (line: string) => void) {
    this.#plan = plan
    this.#server = server
    this.#chat = chat
    this.#say = say
    const random = seeded(plan.seed)
    this.#text = textOf(plan.lines, random)
    this.#faults = drawFaults(plan.faults, random, plan.kinds)
  }

  async run(): Promise<KillOutcome> {
    const chat = this.#chat
    await this.#people()
    // What every device is due: the event that makes the room, the greeting, the text.
    const due = 2 + this.#text.length
    const early: string[] = []
    const live =
      this.#plan.mode === 'queue'
        ? chat.follow('bob', due)
        : chat.start(
            ...['--profile', 'bob', 'tail', '@ann', '--from', '1', '--count', String(due)],
            ...['--json', '--events'],
          )
    let shown = (line: string): unknown => early.push(line)
    live.onLine((line) => shown(line))

    const [greeted = ''] = await chat.lines([
      ...['--profile', 'ann', '--json', 'send', '@bob', GREETING],
    ])
    const { room } = JSON.parse(greeted) as { room: string }
    const judge = new Judge(room, 'ann', [GREETING, ...this.#text], this.#invariants)
    judge.ack(greeted)
    await eventually('the greeting is shown', () => early.length === 2, { within: FIRST_MS })
    shown = judge.screen('bob, live')
    for (const line of early) shown(line)

    // These have a place, and go away with it.
    const late = ['bob2', 'ann2'].map(
      (profile): Late => ({
        profile,
        screen: judge.screen(`${profile}, by catch-up`),
        count: 0,
      }),
    )
    await Promise.all(late.map((device) => this.#catchUp(device, 2)))

    await using crowd = await Crowd.open({
      ...{ api: this.#server.api, invariants: this.#invariants },
      ...{ pairs: PAIRS, mode: this.#plan.mode },
    })
    await this.#send(judge)
    // Acked, but not yet seen by everybody, nor in the history.
    if (!(await this.#server.killAll())) this.#problems.push('the last kill hit nothing')
    await this.#server.start()
    this.#problems.push(...(await crowd.settle()))

    const exit = await within(live, ARRIVE_MS, 'the live tail').catch((error: Error) => error)
    if (exit instanceof Error || exit.code !== 0) {
      this.#problems.push(`the live tail: ${exit instanceof Error ? exit.message : live.tail}`)
    }
    await Promise.all(late.map((device) => this.#catchUp(device, due)))
    for (const profile of ['bob', 'ann']) {
      const show = judge.screen(`${profile}, history`)
      const args = ['--profile', profile, '--json', 'history', profile === 'bob' ? '@ann' : '@bob']
      for (const line of await chat.lines([...args, '--events', '--limit', String(due + 1)])) {
        show(line)
      }
    }
    return this.#judged(judge.missing(due))
  }

  async #people(): Promise<void> {
    const chat = this.#chat
    const both = (verb: 'register' | 'login', suffix: string) =>
      Promise.all(
        ['ann', 'bob'].map((name) => chat.enter(verb, name + suffix, name, `${name} is here`)),
      )
    await both('register', '')
    await both('login', '2')
  }

  /** Pipes the text through `send -` while the faults strike, until everything is acked. */
  async #send(judge: Judge): Promise<void> {
    const sender = this.#chat.start('--profile', 'ann', '--json', 'send', '@bob', '-')
    sender.onLine((line) => judge.ack(line))
    const total = 1 + this.#text.length
    let fed = 0
    const feed = (to: number): void => {
      for (; fed < to; fed++) sender.stdin.write(`${this.#text[fed]}\n`)
    }
    for (const fault of this.#faults) {
      const from = Math.floor(fault.atShare * this.#text.length)
      feed(Math.min(from + AHEAD, this.#text.length))
      await eventually(
        `${from} lines are acked`,
        () => judge.acked >= from || sender.isOver || undefined,
        { within: SEND_MS, every: 1 },
      )
      await pause(fault.afterMs)
      await this.#strike(fault, judge, total)
      const { acked } = judge
      await eventually(
        `acks come again after ${fault.kind}`,
        // All that was fed may be acked by the time that the strike is over.
        () => judge.acked > Math.min(acked, fed) || sender.isOver,
        { within: FLOW_MS },
      )
    }
    feed(this.#text.length)
    sender.stdin.end()
    const most = SEND_MS + SEND_LINE_MS * total
    const { code, signal } = await within(sender, most, 'send -')
    if (code !== 0) this.#problems.push(`send - ended with ${code ?? signal}:\n${sender.tail}`)
  }

  async #strike(fault: Fault, judge: Judge, total: number): Promise<void> {
    const { acked } = judge
    const began = performance.now()
    const { hit, problems } = await strike(this.#server, fault)
    const landed = hit && acked < total
    if (landed) this.#landed++
    this.#problems.push(...problems)
    const took = `${Math.round(performance.now() - began)} ms`
    const again =
      fault.againMs === undefined || fault.kind === 'nats' ? '' : ', hit again while it started'
    this.#say(
      `seed ${this.#plan.seed}: ${fault.kind}${again} at ${acked} of ${total}: ` +
        (landed ? `back after ${took}` : 'did not land'),
    )
  }

  /** What the server owes a device that comes back must be there within seconds, whatever happened. */
  async #catchUp(device: Late, due: number): Promise<void> {
    const { profile, screen } = device
    const show = (line: string): void => {
      device.count++
      screen(line)
    }
    // In queue mode one of them waits for its queue, the other asks once and goes away with what the queue has brought.
    if (this.#plan.mode === 'queue' && profile === 'bob2') {
      const follower = this.#chat.follow(profile, due - device.count)
      follower.onLine(show)
      // What did not come is found missing by the judge.
      await within(follower, ARRIVE_MS, `${profile} catches up`).catch((error: Error) =>
        this.#problems.push(error.message),
      )
      return
    }
    const until = performance.now() + ARRIVE_MS
    do {
      for (const line of await this.#chat.lines([
        ...['--profile', profile, '--json', 'sync', '--events'],
      ])) {
        show(line)
      }
    } while (device.count < due && performance.now() < until)
  }

  #judged(missing: number): KillOutcome {
    const invariants = this.#invariants
    if (missing > 0) this.#problems.push(`${missing} lines are missing`)
    const words = invariants
      .finish({ settled: true })
      .map(({ rule, where, what }) => `${rule}: ${where}: ${what}`)
    return {
      seed: this.#plan.seed,
      faultsLanded: this.#landed,
      acked: invariants.acked,
      missing,
      violations: [...words, ...this.#problems],
      total: invariants.total + this.#problems.length,
    }
  }
}
