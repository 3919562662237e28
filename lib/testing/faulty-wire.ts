/**
 * A connection that does by plan what a bad day does to it: what is appended to the streams, and what they answer, is
 * lost, doubled, delayed (so reordered) or withheld. Everything else passes.
 */
import type { Message, Nats, Streams } from '../bus/bus.ts'

export type Fate =
  | 'pass'
  | 'lose'
  /** Twice in a row. */
  | 'double'
  /** Kept until `letGo`. */
  | 'hold'
  /** ms later, past whatever comes meanwhile. */
  | { readonly after: number }

export type Append = {
  readonly subject: string
  /** As it was when it was handed over. */
  readonly data: Uint8Array
  readonly expected: number | undefined
  readonly reply: string
}
/** What came to one of this connection's inboxes; `token` is its subject past the inbox's prefix. */
export type Answer = { readonly token: string; readonly message: Message }

export type Plan = {
  append?(append: Append): Fate
  answer?(answer: Answer): Fate
  /** What a replica that is behind, or cut off, answers instead. */
  reads?: Partial<Pick<Streams, 'get' | 'last' | 'read'>>
}

export type FaultyWire = Nats & {
  plan: Plan
  /** Every append that was asked for. */
  readonly appends: readonly Append[]
  /** Fates other than `pass`, so far. */
  readonly faults: number
  /** How many are withheld. */
  readonly held: number
  /** What was withheld arrives. */
  letGo(): void
  /** Nothing goes in or out any more, as if the process were dead. */
  cut(): void
}

export const faultyWire = (nats: Nats, plan: Plan = {}): FaultyWire => {
  const appends: Append[] = []
  const timers = new Set<NodeJS.Timeout>()
  let held: (() => void)[] = []
  let faults = 0
  let cut = false

  const undergo = (fate: Fate, pass: () => void): void => {
    if (cut) return
    if (fate !== 'pass') faults++
    if (fate === 'pass') pass()
    else if (fate === 'hold') held.push(pass)
    else if (fate === 'double') {
      pass()
      pass()
    } else if (fate !== 'lose') {
      const timer = setTimeout(() => {
        timers.delete(timer)
        pass()
      }, fate.after)
      timers.add(timer)
    }
  }

  const streams: Streams = {
    ...nats.streams,
    get: (...args) => (wire.plan.reads?.get ?? nats.streams.get)(...args),
    last: (...args) => (wire.plan.reads?.last ?? nats.streams.last)(...args),
    read: (...args) => (wire.plan.reads?.read ?? nats.streams.read)(...args),
    append: (subject, data, expected, reply) => {
      const append: Append = { subject, data: data.slice(), expected, reply }
      appends.push(append)
      undergo(wire.plan.append?.(append) ?? 'pass', () =>
        nats.streams.append(subject, append.data, expected, reply),
      )
    },
  }

  const wire: FaultyWire = Object.create(nats, {
    plan: { value: plan, writable: true },
    appends: { value: appends },
    faults: { get: () => faults },
    held: { get: () => held.length },
    streams: { value: streams },
    connected: { get: () => nats.connected },
    publish: {
      value: (...args: Parameters<Nats['publish']>) => {
        if (!cut) nats.publish(...args)
      },
    },
    subscribe: {
      value: (subject: string, onMessage: (message: Message) => void) =>
        nats.subscribe(subject, (message) => {
          if (!cut) onMessage(message)
        }),
    },
    inbox: {
      value: (onMessage: (rest: string, message: Message) => void) =>
        nats.inbox((token, message) =>
          undergo(wire.plan.answer?.({ token, message }) ?? 'pass', () =>
            onMessage(token, message),
          ),
        ),
    },
    letGo: {
      value: () => {
        const late = held
        held = []
        for (const pass of late) pass()
      },
    },
    cut: {
      value: () => {
        cut = true
        held = []
        for (const timer of timers) clearTimeout(timer)
      },
    },
  }) as FaultyWire
  return wire
}

/** Shares of what is to happen to appends and answers alike; `late` ms at most. */
export type Odds = {
  readonly lose: number
  readonly double: number
  readonly late: number
  readonly lateMs: number
}

/** Fates by chance. */
export const chance = (
  random: () => number,
  odds: Odds,
): Required<Pick<Plan, 'append' | 'answer'>> => {
  const fate = (): Fate => {
    const x = random()
    if (x < odds.lose) return 'lose'
    if (x < odds.lose + odds.double) return 'double'
    if (x < odds.lose + odds.double + odds.late) return { after: random() * odds.lateMs }
    return 'pass'
  }
  return { append: fate, answer: fate }
}
