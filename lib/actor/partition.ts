/**
 * One partition while this host owns it: its rooms, the batch under construction, and the release rule.
 *
 *   command ─▶ room.decide ─▶ records ─▶ pending batch ─freeze─▶ log ─PubAck─▶ answers, deliveries, pointers
 *
 * Invariants: a room's state holds exactly the records of committed, frozen and pending batches, in order. Nothing
 * derived from a batch leaves before it is committed (contracts L3). After `stop` nothing leaves at all (L9).
 */

import { ParleyError, refuse } from '../errors.ts'
import type { RoomId, UserId } from '../ids.ts'
import { encodeFrame } from '../protocol/codec.ts'
import type { RoomRecord } from '../protocol/records.ts'
import { Writer } from '../protocol/writer.ts'
import { errorFrame, sendAnswer, sendRefusal } from './answers.ts'
import { BATCH_BYTES, PendingBatch, type Release } from './batch.ts'
import type { Asked, RoomCommand } from './behavior.ts'
import { Checkpointer } from './checkpointer.ts'
import type { PartitionContext } from './context.ts'
import { Flusher } from './flusher.ts'
import { Lease } from './lease.ts'
import { LogWriter } from './log-writer.ts'
import type { Origin } from './outbound.ts'
import { pageFrame, readEvents } from './pages.ts'
import type { Placed } from './replay.ts'
import { MAILBOX, RoomActor } from './room-actor.ts'

/** Bytes that may wait for the log before commands are refused for now. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024
/** Answers that may wait. */
const MAX_WAITING_RELEASES = 100_000

export class Partition<State> {
  readonly p: number
  readonly epoch: number
  readonly #context: PartitionContext<State>
  readonly #rooms = new Map<RoomId, RoomActor<State>>()
  /** Records since the checkpoint of rooms that were not loaded yet. */
  readonly #unloaded: Map<RoomId, Placed[]>
  readonly #log: LogWriter
  readonly #lease = new Lease()
  readonly #flusher: Flusher<State>
  readonly #checkpointer: Checkpointer<State>
  #queue: PendingBatch<State>[] = []
  #frozen: PendingBatch<State> | undefined
  #number = 0
  #waitingReleases = 0
  #stopped = false
  #spare: Writer[] = []
  #refuseNew = false

  constructor(
    context: PartitionContext<State>,
    p: number,
    epoch: number,
    unloaded: ReadonlyMap<RoomId, Placed[]>,
    checkpoint: number,
  ) {
    this.p = p
    this.epoch = epoch
    this.#context = context
    this.#unloaded = new Map(unloaded)
    this.#log = new LogWriter(
      {
        append: (bytes, expected, number, attempt) =>
          context.append(p, epoch, bytes, expected, number, attempt),
        get: (seq) => context.record(p, seq),
      },
      {
        committed: (seq, sentAt) => this.#committed(seq, sentAt),
        fenced: (view) => context.lost(p, view),
        damaged: (why) => context.damaged(p, why),
        alarm: (why) => context.alarm(p, why),
        doubt: (code, text) => context.doubt(p, code, text),
      },
      context.clock,
      epoch,
    )
    this.#flusher = new Flusher(context)
    this.#checkpointer = new Checkpointer(context, p, checkpoint)
  }

  get log(): LogWriter {
    return this.#log
  }

  /** Sequence of the newest committed record. */
  get last(): number {
    return this.#log.last
  }

  get checkpoint(): number {
    return this.#checkpointer.position
  }

  get rooms(): number {
    return this.#rooms.size
  }

  /** A command for a room of this partition. Its bytes may be views: what is kept is copied into the batch. */
  execute(id: RoomId, origin: Origin, command: RoomCommand): void {
    if (this.#stopped || this.#refuseNew) {
      origin.outlet.moved(origin.token, origin.attempt)
      return
    }
    const { limits } = this.#context
    if (this.#waitingReleases > MAX_WAITING_RELEASES || this.#waitingBytes() > MAX_WAITING_BYTES) {
      sendRefusal(origin, command.req, refuse('overloaded', undefined, 200))
      return
    }
    if (this.#context.logFull() && command.name !== 'fetch' && command.name !== 'open') {
      sendRefusal(origin, command.req, refuse('overloaded', 'The log is nearly full.', 1000))
      return
    }
    if (command.name === 'send' && command.textBytes > limits.textBytes) {
      sendRefusal(
        origin,
        command.req,
        refuse('too_large', `A text may hold ${limits.textBytes} bytes.`),
      )
      return
    }
    const room = this.#rooms.get(id) ?? this.#load(id)
    if (room.ready) {
      this.#run(room, origin, command, undefined)
      this.#dropEmpty(room)
    } else if (room.mailbox.length < MAILBOX) room.mailbox.push({ origin, command: kept(command) })
    else sendRefusal(origin, command.req, refuse('overloaded', undefined, 200))
  }

  #waitingBytes(): number {
    let bytes = 0
    for (const batch of this.#queue) bytes += batch.bytes
    return bytes
  }

  #run(
    room: RoomActor<State>,
    origin: Origin,
    command: RoomCommand,
    permit: Asked['permit'],
  ): void {
    const { behavior, clock } = this.#context
    const asked: Asked = {
      user: origin.user,
      now: clock.now(),
      permit,
      nextId: this.#context.nextId,
    }
    room.usedAt = asked.now
    const { records, answer } = behavior.decide(room.state, command, asked)
    if (answer.kind === 'permit') {
      void this.#askPermit(room, origin, command, answer.peer)
      return
    }
    if (records.length > 0) this.#append(room, records, origin)
    this.#wait({
      kind: 'answer',
      own: records.length > 0,
      origin,
      req: command.req,
      room,
      answer,
      back: command.name === 'fetch' && command.back,
    })
  }

  /** Asking for rooms that do not exist must not fill the memory. */
  #dropEmpty(room: RoomActor<State>): void {
    if (room.ready && this.#context.behavior.head(room.state) === 0) this.#rooms.delete(room.id)
  }

  #append(room: RoomActor<State>, records: readonly RoomRecord[], origin: Origin): void {
    const { behavior, clock } = this.#context
    const batch = this.#batch()
    if (room.lastBatch !== batch.number) {
      room.lastBatch = batch.number
      batch.rooms.push(room)
    }
    for (const record of records) {
      const users = behavior.evolve(room.state, record)
      const frame = batch.add(record)
      if (frame !== undefined) {
        const entry = { seq: (record as { seq: number }).seq, frame, position: 0 }
        room.tail.push(entry)
        batch.releases.push({ kind: 'event', frame, users, from: origin, entry })
        this.#waitingReleases++
        if (room.touch(users, clock.monotonic())) this.#flusher.dirty(room)
      } else if (record.kind === 'read') {
        if (users.length > 0) this.#mark(batch, record, users, origin)
        if (room.touch([record.user], clock.monotonic())) this.#flusher.dirty(room)
      }
    }
  }

  #mark(
    batch: PendingBatch<State>,
    record: RoomRecord & { kind: 'read' },
    users: readonly UserId[],
    from: Origin,
  ): void {
    const { room, user, seq, ord } = record
    const frame = encodeFrame('mark', { room, user, kind: 1, seq, ord })
    batch.releases.push({ kind: 'mark', frame, users, from })
    this.#waitingReleases++
  }

  /** The batch that the next record goes into. */
  #batch(): PendingBatch<State> {
    let batch = this.#queue.at(-1)
    if (batch === undefined || batch.bytes > BATCH_BYTES) {
      batch = new PendingBatch<State>(++this.#number, this.#spare.pop() ?? new Writer(16 * 1024))
      this.#queue.push(batch)
      this.#context.schedule(this)
    }
    return batch
  }

  /** Lets an answer wait for what it was derived from (L3), or leave under the lease (L10). */
  #wait(release: Release<State>): void {
    const batch = this.#queue.at(-1) ?? this.#frozen
    if (batch !== undefined) {
      batch.releases.push(release)
      this.#waitingReleases++
    } else this.#leave(release)
  }

  /** An answer of a user's actor: leaves when this host is proven to be the owner. */
  answer(origin: Origin, run: () => void): void {
    if (this.#stopped || this.#refuseNew) origin.outlet.moved(origin.token, origin.attempt)
    else this.#wait({ kind: 'run', origin, run })
  }

  /** What is not `own` needs the lease; without one it waits for the proof of a batch that is still to be sent. */
  #leave(release: Release<State>): void {
    const needsLease = release.kind === 'run' || (release.kind === 'answer' && !release.own)
    if (needsLease && !this.#lease.valid(this.#context.clock.monotonic())) {
      const batch = this.#batch()
      batch.wanted = true
      batch.releases.push(release)
      this.#waitingReleases++
      return
    }
    switch (release.kind) {
      case 'event':
      case 'mark':
        this.#context.routes.deliver(release.frame, release.users, release.from)
        break
      case 'run':
        release.run()
        break
      case 'answer':
        if (release.answer.kind === 'range') void this.#sendPage(release, release.answer)
        else if (release.answer.kind !== 'permit') {
          sendAnswer(release.origin, release.req, release.answer)
        }
        break
    }
  }

  async #sendPage(
    release: Release<State> & { kind: 'answer' },
    range: { first: number; last: number; from: number; head: number },
  ): Promise<void> {
    const { origin, req, room, back } = release
    try {
      const { first, last } = range
      const events = first > last ? [] : await readEvents(room, first, last, this.#pages)
      origin.outlet.final(
        origin.token,
        origin.attempt,
        pageFrame(req, room.id, range, events, back),
      )
    } catch (error) {
      const code = error instanceof ParleyError ? error.code : 'unavailable'
      origin.outlet.later(
        origin.token,
        origin.attempt,
        errorFrame(req, refuse(code, undefined, 200)),
      )
    }
  }

  get #pages() {
    return {
      history: this.#context.history,
      record: async (position: number) => (await this.#context.record(this.p, position))?.data,
    }
  }

  /** End of a loop turn: sends the next batch when none is undecided. */
  turn(): void {
    if (this.#frozen !== undefined || this.#stopped) return
    const batch = this.#queue.shift()
    if (batch === undefined) return
    this.#frozen = batch
    // With nothing behind it, every room is exactly as of the end of this batch.
    if (this.#queue.length === 0) this.#boundary(batch.number)
    this.#log.commit(batch.number, batch.freeze(this.epoch, this.#log.last, this.#context.view()))
  }

  /** The rooms' states are those at the end of batch `number`: the moment for pointers and snapshots. */
  #boundary(number: number | undefined): void {
    const todo = this.#checkpointer.take()
    this.#flusher.collect(todo, number === undefined ? this.#log.last : undefined)
  }

  #committed(seq: number, sentAt: number): void {
    const batch = this.#frozen
    if (batch === undefined || this.#stopped) return
    this.#frozen = undefined
    this.#lease.renew(sentAt)
    for (const room of batch.rooms) {
      room.lastPosition = seq
      this.#checkpointer.dirty(room)
      room.trim(this.#context.historyFloor(this.p))
    }
    this.#waitingReleases -= batch.releases.length
    for (const release of batch.releases) {
      if (release.kind === 'event') release.entry.position = seq
      this.#leave(release)
    }
    this.#flusher.committed(seq)
    this.#context.committed(this.p, batch.records, batch.bytes)
    this.#spare.push(batch.body)
    if (this.#queue.length > 0) this.#context.schedule(this)
  }

  /** Every 100 ms or so; `lost` after a reconnect. */
  pulse(lost: boolean): void {
    this.#log.pulse(lost)
    this.#checkpointer.pulse(this.#log.last, this.#unloaded.size === 0)
    if (this.settled) this.#boundary(undefined)
  }

  /** True when nothing is undecided and nothing waits to be sent. */
  get settled(): boolean {
    return this.#frozen === undefined && this.#queue.length === 0 && !this.#stopped
  }

  /** Asks for a record in the log, so that it can be trimmed behind it (contracts L0). */
  tick(): void {
    this.#batch().wanted = true
  }

  #load(id: RoomId): RoomActor<State> {
    const room = new RoomActor<State>(id, this.#context.behavior.empty(id))
    this.#rooms.set(id, room)
    void this.#open(room)
    return room
  }

  /** Reads a room's snapshot and folds what the log holds past it, sending again what may not have been (L4). */
  async #open(room: RoomActor<State>): Promise<void> {
    const { behavior, state, clock, routes } = this.#context
    try {
      const snapshot = await state.room(room.id)
      if (this.#stopped) return
      if (snapshot !== undefined) {
        room.state = behavior.decode(room.id, snapshot.state)
        room.savedPosition = snapshot.position
        room.lastPosition = snapshot.position
      }
    } catch (cause) {
      this.#failOpen(room, cause)
      return
    }
    for (const { position, record, frame } of this.#unloaded.get(room.id) ?? []) {
      if (frame !== undefined && record.kind === 'event') {
        room.tail.push({ seq: record.seq, frame, position })
      }
      if (position <= room.savedPosition) continue
      const users = behavior.evolve(room.state, record)
      room.lastPosition = position
      if (frame !== undefined) routes.deliver(frame, users, undefined)
      const owed = record.kind === 'read' ? [record.user] : users
      if (room.touch(owed, clock.monotonic())) this.#flusher.dirty(room)
    }
    if (room.lastPosition > room.savedPosition) this.#checkpointer.dirty(room)
    this.#unloaded.delete(room.id)
    this.#ready(room, undefined)
  }

  #failOpen(room: RoomActor<State>, cause: unknown): void {
    this.#rooms.delete(room.id)
    this.#context.storeFailed(this.p, room.id, cause)
    const refusal = refuse('unavailable', 'The room can not be loaded for now.', 500)
    for (const { origin, command } of room.mailbox) sendRefusal(origin, command.req, refusal)
  }

  #ready(room: RoomActor<State>, permit: Asked['permit']): void {
    room.ready = true
    const waiting = room.mailbox.splice(0)
    for (let i = 0; i < waiting.length; i++) {
      const { origin, command } = waiting[i]!
      // The permit is for whoever asked first; the others' first messages ask anew.
      this.#run(room, origin, command, i === 0 ? permit : undefined)
      if (room.ready) continue
      // It asks for a permit: the rest waits behind it.
      room.mailbox.push(...waiting.slice(i + 1))
      return
    }
    this.#dropEmpty(room)
  }

  /** N5: a dm comes to be when its users' actors allow it; commands wait meanwhile. */
  async #askPermit(
    room: RoomActor<State>,
    origin: Origin,
    command: RoomCommand,
    peer: UserId,
  ): Promise<void> {
    room.ready = false
    room.mailbox.unshift({ origin, command: kept(command) })
    const permit = await this.#context
      .permit(origin.user, peer)
      .catch(() => refuse('unavailable', undefined, 200))
    if (!this.#stopped) this.#ready(room, permit)
  }

  /** Loads rooms that have records since the checkpoint, so that what they owe is sent and the checkpoint can rise. */
  async loadAll(signal: AbortSignal): Promise<void> {
    for (const id of [...this.#unloaded.keys()]) {
      if (this.#stopped || signal.aborted) return
      if (!this.#unloaded.has(id)) continue
      const known = this.#rooms.get(id)
      if (known === undefined) {
        const room = new RoomActor<State>(id, this.#context.behavior.empty(id))
        this.#rooms.set(id, room)
        await this.#open(room)
      } else if (!known.ready) await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  /** A recent event's frame, if memory has it. */
  recent(id: RoomId, seq: number): Uint8Array | undefined {
    const tail = this.#rooms.get(id)?.tail
    const entry = tail?.[seq - (tail[0]?.seq ?? 0)]
    return entry?.position === 0 ? undefined : entry?.frame
  }

  /** Drops rooms that nobody used since `before` (ms) and that owe nothing. */
  passivate(before: number): void {
    const floor = this.#context.historyFloor(this.p)
    for (const room of this.#rooms.values()) {
      const idle = room.ready && room.usedAt < before && room.dirtySince === 0
      const safe = room.lastPosition === room.savedPosition && room.tickets.size === 0
      const decided = room.lastBatch <= this.#number && !this.#undecided(room)
      if (idle && safe && decided && room.archived(floor)) this.#rooms.delete(room.id)
    }
  }

  #undecided(room: RoomActor<State>): boolean {
    return (
      this.#frozen?.rooms.includes(room) === true ||
      this.#queue.some((batch) => batch.rooms.includes(room))
    )
  }

  /** True when nothing is undecided and nothing is owed: pointers and checkpoint are where the log is. */
  get drained(): boolean {
    for (const room of this.#rooms.values()) if (room.mailbox.length > 0) return false
    return this.settled && this.#flusher.idle && this.#checkpointer.drained(this.#log.last)
  }

  /** Everything from now on is answered `moved`, but what was accepted goes on to be committed, and soon. */
  drain(): void {
    this.#refuseNew = true
    this.#checkpointer.hurry = true
  }

  /** Appends the record that tells a successor that nothing of ours follows (contracts L, drain). */
  handover(successor: string): void {
    const batch = this.#batch()
    batch.add({ kind: 'handover', successor })
  }

  /** Fenced, or handed over (contracts L9): all state is forgotten, whoever waits is told. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#log.stop()
    const batches = this.#frozen === undefined ? this.#queue : [this.#frozen, ...this.#queue]
    for (const batch of batches) {
      for (const release of batch.releases) {
        if (release.kind !== 'answer' && release.kind !== 'run') continue
        const { origin } = release
        origin.outlet.moved(origin.token, origin.attempt)
      }
    }
    for (const room of this.#rooms.values()) {
      for (const { origin } of room.mailbox) origin.outlet.moved(origin.token, origin.attempt)
    }
    this.#queue = []
    this.#frozen = undefined
    this.#rooms.clear()
    this.#unloaded.clear()
  }
}

/** A command that outlives the message it came in. */
const kept = (command: RoomCommand): RoomCommand =>
  command.name === 'send' ? { ...command, text: command.text.slice() } : command
