/** The generator processes of a run, ordered about as one. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Histogram } from '../measure/histogram.ts'
import type {
  Counters,
  Measured,
  Order,
  OrderName,
  Orders,
  Reply,
  Status,
  Verdict,
} from './orders.ts'
import type { LoadPlan, Pace } from './plan.ts'

const HERE = fileURLToPath(new URL('./worker.ts', import.meta.url))
const ORDER_MS = 300_000

type Waiting = { resolve: (answer: unknown) => void; reject: (error: Error) => void }

class Member {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  #orders = 0
  #dead: Error | undefined

  constructor(execArgv: readonly string[]) {
    this.#child = fork(HERE, { serialization: 'advanced', execArgv: [...execArgv] })
    this.#child.on('message', (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id)
      this.#waiting.delete(reply.id)
      if ('error' in reply) waiting?.reject(new Error(`generator: ${reply.error}`))
      else waiting?.resolve(reply.answer)
    })
    this.#child.on('exit', (code, signal) => {
      this.#dead = new Error(`a generator ended with ${signal ?? code}`)
      for (const { reject } of this.#waiting.values()) reject(this.#dead)
      this.#waiting.clear()
    })
  }

  async order<N extends OrderName>(
    name: N,
    given: Orders[N]['with'],
  ): Promise<Orders[N]['answer']> {
    if (this.#dead !== undefined) throw this.#dead
    const id = ++this.#orders
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#waiting.set(id, { resolve, reject })
    const timer = setTimeout(() => reject(new Error(`a generator did not ${name}`)), ORDER_MS)
    try {
      const order: Order<N> = { id, name, with: given }
      this.#child.send(order)
      return (await promise) as Orders[N]['answer']
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(id)
    }
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = new Promise((resolve) => this.#child.once('exit', resolve))
    if (this.#child.connected) this.#child.disconnect()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 2000)
    await gone
    clearTimeout(timer)
  }
}

/** Measured by all processes together. */
export type Sum = {
  readonly settled: boolean
  readonly due: number
  readonly ack: Histogram
  readonly delivery: Histogram
  readonly lag: Histogram
}

export class Fleet {
  readonly #members: readonly Member[]
  #lanes: readonly number[] = []

  /** As many processes as there will be plans. */
  constructor(size: number, execArgv: readonly string[] = []) {
    this.#members = Array.from({ length: size }, () => new Member(execArgv))
  }

  #all<N extends OrderName>(name: N, given: Orders[N]['with']): Promise<Orders[N]['answer'][]> {
    return Promise.all(this.#members.map((member) => member.order(name, given)))
  }

  async setUp(plans: readonly LoadPlan[]): Promise<void> {
    const made = this.#members.map((member, i) => member.order('setUp', plans[i]!))
    this.#lanes = (await Promise.all(made)).map(({ lanes }) => lanes)
  }

  /** An open rate is that of all processes together, dealt out by their lanes. */
  async go(pace: Pace): Promise<void> {
    const all = this.#lanes.reduce((sum, lanes) => sum + lanes, 0)
    const paceOf = (lanes: number): Pace =>
      pace.kind === 'open' ? { ...pace, rate: (pace.rate * lanes) / all } : pace
    const loaded = this.#members.map((member, i) => ({ member, lanes: this.#lanes[i] ?? 0 }))
    await Promise.all(
      loaded
        .filter(({ lanes }) => lanes > 0)
        .map(({ member, lanes }) => member.order('go', paceOf(lanes))),
    )
  }

  openWindow(): Promise<Counters[]> {
    return this.#all('openWindow', null)
  }

  shutWindow(): Promise<Counters[]> {
    return this.#all('shutWindow', null)
  }

  async stop(withinMs: number): Promise<Sum> {
    const all: Measured[] = await this.#all('stop', { withinMs })
    const [ack, delivery, lag] = [new Histogram(), new Histogram(), new Histogram()]
    for (const one of all) {
      ack.add(one.ack)
      delivery.add(one.delivery)
      lag.add(one.lag)
    }
    const due = all.reduce((sum, one) => sum + one.due, 0)
    return { settled: all.every((one) => one.settled), due, ack, delivery, lag }
  }

  status(): Promise<Status[]> {
    return this.#all('status', null)
  }

  finish(options: { history: boolean; settled: boolean }): Promise<Verdict[]> {
    return this.#all('finish', options)
  }

  async end(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.end()))
  }
}
