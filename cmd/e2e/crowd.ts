/**
 * Pairs of SDK clients that chat while the processes die: at almost every moment something of theirs is committed and not
 * acked, or on its way to be. Each sender's messages are its numbers, so that the invariants can tell them.
 */
import { Client, type Room, type RoomEvent } from '../../lib/client/index.ts'
import { eventually } from '../../lib/testing/eventually.ts'
import type { Invariants, Outbox, Reader } from '../../lib/testing/invariants.ts'
import type { Mode } from './mode.ts'

/** Messages of a pair that may be on their way; and ms from an ack to the next message in its place. */
const WINDOW = 12
const PACE_MS = 30
const CONNECT_MS = 120_000
const SETTLE_MS = 180_000

export type CrowdPlan = {
  readonly api: string
  readonly invariants: Invariants
  readonly pairs: number
  readonly mode: Mode
}

type Pair = {
  readonly sender: Client
  readonly receiver: Client
  readonly room: Room
  readonly outbox: Outbox
  readonly reader: Reader
  n: number
  /** The highest sequence of an ack. */
  head: number
}

export class Crowd {
  readonly #pairs: Pair[] = []
  readonly #failures: string[] = []
  #stopping = false
  #slots: Promise<void>[] = []

  private constructor() {}

  /** Everybody is connected and talks. */
  static async open(plan: CrowdPlan): Promise<Crowd> {
    const crowd = new Crowd()
    try {
      await Promise.all(Array.from({ length: plan.pairs }, (_, i) => crowd.#meet(plan, i)))
    } catch (error) {
      await crowd.end()
      throw error
    }
    return crowd
  }

  async #meet({ api, invariants, mode }: CrowdPlan, index: number): Promise<void> {
    const [sender, receiver] = await Promise.all(
      ['talks', 'hears'].map(async (what) => {
        const client = new Client({
          ...{ api, delivery: mode, history: 'all', backoff: { base: 50, cap: 500 } },
        })
        // A device that was refused its queue would prove nothing of queues.
        client.on('warning', ({ message }) => this.#failures.push(`${what}.${index}: ${message}`))
        const handle = `${what}.${index}`
        await client.register({ handle, password: `${handle} is here` })
        await client.connect({ within: CONNECT_MS })
        return client
      }),
    )
    const room = await sender!.dm(`@hears.${index}`)
    const check = invariants.room(room.id)
    check.foreign(1)
    const pair: Pair = {
      ...{ sender: sender!, receiver: receiver!, room, n: 0, head: 0 },
      outbox: check.outbox(`talks.${index}`),
      reader: check.reader(`hears.${index}`, { strict: true }),
    }
    this.#pairs.push(pair)
    receiver!.on('event', (event) => hear(pair, event))
    await this.#say(pair)
    this.#slots.push(...Array.from({ length: WINDOW }, () => this.#talk(pair)))
  }

  async #talk(pair: Pair): Promise<void> {
    while (!this.#stopping) {
      await this.#say(pair)
      await new Promise((resolve) => setTimeout(resolve, PACE_MS))
    }
  }

  async #say(pair: Pair): Promise<void> {
    const n = ++pair.n
    pair.outbox.sent(n)
    try {
      const { seq, id } = await pair.room.send(String(n))
      pair.outbox.acked(n, seq, BigInt(id))
      pair.head = Math.max(pair.head, seq)
    } catch (error) {
      this.#stopping = true
      this.#failures.push(`message ${n} of ${pair.room.id}: ${(error as Error).message}`)
    }
  }

  /** No more is said; resolves when all was acked and heard, or nobody can hope for it any more. */
  async settle(): Promise<readonly string[]> {
    this.#stopping = true
    try {
      await eventually('everything that was said is acked', () => this.#idle(), {
        within: SETTLE_MS,
      })
      await Promise.all(this.#slots)
      await eventually(
        'everything that was acked is heard',
        () => this.#pairs.every(({ reader, head }) => reader.missing(head) === undefined),
        { within: SETTLE_MS },
      )
    } catch (error) {
      this.#failures.push((error as Error).message)
    }
    return this.#failures
  }

  #idle(): boolean {
    return this.#pairs.every(({ sender }) => sender.pending === 0)
  }

  async end(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#pairs.flatMap(({ sender, receiver }) => [sender, receiver].map(close)))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end()
  }
}

const close = (client: Client): Promise<void> => client.close()

const hear = ({ reader, outbox, room }: Pair, event: RoomEvent): void => {
  if (event.room !== room.id) return
  reader.time(event.seq, event.time)
  if (event.kind === 'message') reader.saw(event.seq, BigInt(event.id), outbox, Number(event.text))
  else reader.saw(event.seq, BigInt(event.id))
}
