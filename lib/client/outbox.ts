/**
 * All commands of this profile on their way (contracts N): a lane per room. Owns what is stored of them and who waits
 * for them. Runs only while it holds the profile's lock; until then commands wait here, unstored.
 *
 * B1 A command is stored before its number is, and its number before it is sent: changes are stored in order.
 * B2 A promise of `give` settles once the command is settled: with the ack, or with a refusal for good.
 */
import { ParleyError } from '../errors.ts'
import { isDm, type RoomId } from '../ids.ts'
import type { Cache } from './cache.ts'
import { type Command, frameOf, toBase64 } from './command.ts'
import type { Link } from './connection.ts'
import { Lane, type Told } from './lane.ts'
import { errorOf } from './refusal.ts'
import type { Reply } from './requests.ts'
import type { Change, Item } from './saved.ts'
import { type Ack, freshSlot, restoredSlot, type Slot } from './slot.ts'
import type { Time } from './time.ts'

export type Settled = { readonly command: Command } & (
  | { readonly ack: Ack }
  | { readonly error: ParleyError }
)

export type OutboxPorts = {
  readonly time: Time
  readonly cache: Cache
  readonly link: Link
  /** What became of these commands, as far as the history tells. @throws ParleyError */
  lookUp(room: RoomId, slots: readonly Slot[]): Promise<Map<Slot, Ack>>
  /** The user's join in a room, as the room says. @throws ParleyError */
  joinOf(room: RoomId): Promise<number>
  /** A fresh lineage is needed: begin a session that asks for one. */
  renew(): void
  /** Told before the promise of `give` settles; also for what an earlier process gave. */
  settled(what: Settled): void
}

/** Commands that may wait in all; past it `give` refuses. */
const MOST = 10_000
/** ms before the history or the room is asked again. */
const RETRY = 1_000

type Waiter = PromiseWithResolvers<Ack>

export class Outbox {
  readonly #ports: OutboxPorts
  readonly #lanes = new Map<RoomId, Lane>()
  readonly #waiters = new Map<number, Waiter>()
  readonly #timers = new Map<RoomId, () => void>()
  /** Rooms whose history or join is being asked for. */
  readonly #asking = new Set<RoomId>()
  /** Given while the lock was not held. */
  #early: { item: Omit<Item, 'key'>; waiter: Waiter }[] = []
  #running = false
  #ended: ParleyError | undefined
  #lineage: number | undefined
  #wantsLineage = false
  #size = 0
  #nextKey = 1
  #idle: PromiseWithResolvers<void> | undefined

  constructor(ports: OutboxPorts) {
    this.#ports = ports
  }

  /** Commands that are not settled. */
  get size(): number {
    return this.#size
  }

  /** Those that wait for the lock. */
  get early(): number {
    return this.#early.length
  }

  /** Resolves once everything is settled. */
  idle(): Promise<void> {
    if (this.#size === 0) return Promise.resolve()
    this.#idle ??= Promise.withResolvers()
    return this.#idle.promise
  }

  /** For `hello`; null asks for one. */
  get lineage(): number | null {
    return this.#wantsLineage ? null : (this.#lineage ?? null)
  }

  /** The lock is held and the cache open: takes up what an earlier process left, then what was given meanwhile. */
  start(): void {
    const { saved } = this.#ports.cache
    const given = this.#lineage
    this.#lineage = saved.lineage ?? given
    if (saved.lineage === undefined && given !== undefined) {
      this.#write([{ op: 'lineage', lineage: given }])
    }
    for (const item of [...saved.items.values()].sort((a, b) => a.key - b.key)) {
      this.#nextKey = Math.max(this.#nextKey, item.key + 1)
      const { room } = item.command
      this.#lane(room).add(restoredSlot(item, saved.acked.get(room)))
      this.#size++
    }
    this.#running = true
    const early = this.#early
    this.#early = []
    for (const { item, waiter } of early) this.#take(item, waiter)
    this.pump()
  }

  /** Resolves once the room has it. @throws ParleyError when it is refused for good, or too much waits already. */
  give(command: Command, after: number): Promise<Ack> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    if (this.#size >= MOST) {
      const detail = `${MOST} messages wait to be sent already.`
      return Promise.reject(new ParleyError('limit', { detail }))
    }
    const item = { command, after, at: this.#ports.time.now() }
    const waiter: Waiter = Promise.withResolvers()
    this.#size++
    if (this.#running) {
      this.#take(item, waiter)
      this.#pump(command.room)
    } else this.#early.push({ item, waiter })
    return waiter.promise
  }

  #take(given: Omit<Item, 'key'>, waiter: Waiter): void {
    const item: Item = { ...given, key: this.#nextKey++ }
    this.#waiters.set(item.key, waiter)
    this.#lane(item.command.room).add(freshSlot(item))
    this.#write([{ op: 'put', item }])
  }

  #lane(room: RoomId): Lane {
    let lane = this.#lanes.get(room)
    if (lane === undefined) {
      lane = new Lane()
      lane.tally = this.#ports.cache.saved.tallies.get(room)
      this.#lanes.set(room, lane)
    }
    return lane
  }

  /** A session began; `lineage` is what its `welcome` gave. */
  opened(lineage: number): void {
    if (lineage !== this.#lineage) {
      this.#lineage = lineage
      if (this.#running) this.#write([{ op: 'lineage', lineage }])
    }
    this.#wantsLineage = false
    this.pump()
  }

  /** Does what can be done now. */
  pump(): void {
    for (const room of this.#lanes.keys()) this.#pump(room)
  }

  #write(changes: readonly Change[]): void {
    this.#ports.cache.write(changes).catch((error: unknown) => this.#break(error))
  }

  #pump(room: RoomId): void {
    const lane = this.#lanes.get(room)
    if (lane === undefined || !this.#running || !this.#ports.link.inSession) return
    if (lane.doubting) {
      const doubtful = lane.doubtful()
      if (doubtful !== undefined) this.#ask(room, () => this.#resolve(room, lane, doubtful))
      return
    }
    this.#number(room, lane)
    this.#send(room, lane)
  }

  #number(room: RoomId, lane: Lane): void {
    const { cache, renew } = this.#ports
    const join = isDm(room) ? 0 : (cache.saved.pointers.get(room)?.join ?? ownJoin(lane))
    const numbered = lane.number(this.#wantsLineage ? undefined : this.#lineage, join)
    if (numbered === 'lineage') {
      if (this.#wantsLineage) return
      this.#wantsLineage = true
      renew()
    } else if (numbered === 'join') {
      this.#ask(room, () => this.#learnJoin(room, lane))
    } else if (numbered !== 'nothing') {
      const changes = numbered.map((slot): Change => {
        const numbering = { ...slot.numbers!, tail: toBase64(slot.tail!) }
        return { op: 'number', key: slot.key, numbering }
      })
      cache.write(changes).then(
        () => {
          for (const slot of numbered) slot.stored = true
          this.#pump(room)
        },
        (error: unknown) => this.#break(error),
      )
    }
  }

  #send(room: RoomId, lane: Lane): void {
    const { time, link } = this.#ports
    const now = time.monotonic()
    for (let slot = lane.due(now); slot !== undefined && link.inSession; slot = lane.due(now)) {
      this.#sendOne(room, lane, slot)
    }
    if (lane.pausedUntil > now && lane.slots.length > 0) this.#wake(room, lane.pausedUntil - now)
  }

  #sendOne(room: RoomId, lane: Lane, slot: Slot): void {
    let req = 0
    this.#ports.link.request(
      (given) => {
        req = given
        lane.sent(slot, req)
        return frameOf(slot.command.name, req, slot.tail!)
      },
      (reply) => this.#told(room, lane, slot, req, reply),
    )
  }

  #wake(room: RoomId, ms: number): void {
    this.#timers.get(room)?.()
    const cancel = this.#ports.time.after(ms, () => {
      this.#timers.delete(room)
      this.#pump(room)
    })
    this.#timers.set(room, cancel)
  }

  #told(room: RoomId, lane: Lane, slot: Slot, req: number, reply: Reply): void {
    const { time } = this.#ports
    const { tally } = lane
    const outcome = lane.told(slot, req, toldBy(reply), time.monotonic(), time.random())
    const changes: Change[] = []
    if (lane.tally !== undefined && lane.tally !== tally) {
      changes.push({ op: 'tally', room, tally: lane.tally })
    }
    if (outcome !== undefined) {
      changes.push(...this.#settled(room, slot, outcome))
      this.#settle(slot, outcome)
    }
    if (changes.length > 0) this.#write(changes)
    this.#pump(room)
  }

  #settled(room: RoomId, { key }: Slot, outcome: Ack | ParleyError): Change[] {
    const changes: Change[] = [{ op: 'settle', key }]
    const newest = this.#ports.cache.saved.acked.get(room)?.seq ?? 0
    if (!(outcome instanceof ParleyError) && outcome.seq > newest) {
      changes.push({ op: 'acked', room, acked: { key, seq: outcome.seq } })
    }
    return changes
  }

  #settle(slot: Slot, outcome: Ack | ParleyError): void {
    const { command } = slot
    const waiter = this.#waiters.get(slot.key)
    this.#waiters.delete(slot.key)
    this.#size--
    if (outcome instanceof ParleyError) {
      this.#ports.settled({ command, error: outcome })
      waiter?.reject(outcome)
    } else {
      this.#ports.settled({ command, ack: outcome })
      waiter?.resolve(outcome)
    }
    if (this.#size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  /** One question at a time for a room; a failure for now is tried again. */
  #ask(room: RoomId, question: () => Promise<void>): void {
    if (this.#asking.has(room)) return
    this.#asking.add(room)
    question().then(
      () => {
        this.#asking.delete(room)
        this.#pump(room)
      },
      (error: unknown) => {
        this.#asking.delete(room)
        if (isForNow(error)) this.#wake(room, RETRY)
        else this.#break(error)
      },
    )
  }

  /** Looks in the history for what the room has forgotten (contracts N3, N4). */
  async #resolve(room: RoomId, lane: Lane, doubtful: readonly Slot[]): Promise<void> {
    let found = new Map<Slot, Ack>()
    try {
      if (doubtful.length > 0) found = await this.#ports.lookUp(room, doubtful)
    } catch (error) {
      if (!(error instanceof ParleyError) || error.canRetry) throw error
      // No longer readable: nobody can tell, so it isn't sent again.
      for (const slot of doubtful) slot.doubt = { kind: 'gone', error }
    }
    const settled = lane.resolve(found)
    const changes = [...settled].flatMap(([slot, outcome]) => this.#settled(room, slot, outcome))
    if (lane.tally !== undefined) changes.push({ op: 'tally', room, tally: lane.tally })
    this.#write(changes)
    for (const [slot, outcome] of settled) this.#settle(slot, outcome)
  }

  async #learnJoin(room: RoomId, lane: Lane): Promise<void> {
    try {
      lane.join = await this.#ports.joinOf(room)
      lane.asks = false
    } catch (error) {
      if (!(error instanceof ParleyError) || error.canRetry) throw error
      // Not a member, or no such room: what has no number yet was never sent.
      const withdrawn = lane.withdraw()
      this.#write(withdrawn.map(({ key }): Change => ({ op: 'settle', key })))
      for (const slot of withdrawn) this.#settle(slot, error)
    }
  }

  /** The cache failed, or a bug: nothing can be promised any more. */
  #break(error: unknown): void {
    this.close(error instanceof ParleyError ? error : new ParleyError('internal', { cause: error }))
  }

  /** Whoever still waits hears `reason`. What is stored stays so, for the next process. */
  close(reason: ParleyError): void {
    if (this.#ended !== undefined) return
    this.#ended = reason
    this.#running = false
    for (const cancel of this.#timers.values()) cancel()
    const waiters = [...this.#waiters.values(), ...this.#early.map(({ waiter }) => waiter)]
    this.#waiters.clear()
    this.#early = []
    for (const waiter of waiters) waiter.reject(reason)
  }
}

const isForNow = (error: unknown): boolean => error instanceof ParleyError && error.canRetry

/** The join that a lane numbers with already, when no pointer tells. */
const ownJoin = (lane: Lane): number | undefined =>
  lane.tally === undefined || lane.tally.spent ? undefined : lane.tally.join

const toldBy = (reply: Reply): Told => {
  if (reply.name === 'ack') {
    const { seq, id, time } = reply
    return { kind: 'ack', ack: { seq, id: id.toString(), time } }
  }
  return reply.name === 'error' ? { kind: 'error', error: errorOf(reply) } : { kind: 'lost' }
}
