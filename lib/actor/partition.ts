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
import { sendRefusal } from './answers.ts'
import { BATCH_BYTES, PendingBatch, type Reply } from './batch.ts'
import type { Asked, Decision, RoomCommand } from './behavior.ts'
import { Checkpointer } from './checkpointer.ts'
import type { PartitionContext } from './context.ts'
import { Flusher } from './flusher.ts'
import { LogWriter } from './log-writer.ts'
import type { Origin } from './outbound.ts'
import { Releases } from './releases.ts'
import type { Placed } from './replay.ts'
import type { RoomActor } from './room-actor.ts'
import { Rooms } from './rooms.ts'

/** Bytes that may wait for the log before commands are refused for now. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024
/** Answers that may wait. */
const MAX_WAITING_RELEASES = 100_000

export class Partition<State> {
  readonly p: number
  readonly epoch: number
  readonly #context: PartitionContext<State>
  readonly #rooms: Rooms<State>
  readonly #releases: Releases<State>
  readonly #log: LogWriter
  readonly #flusher: Flusher<State>
  readonly #checkpointer: Checkpointer<State>
  #queue: PendingBatch<State>[] = []
  #frozen: PendingBatch<State> | undefined
  #number = 0
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
    this.#rooms = new Rooms(context, p, unloaded, {
      decide: (...command) => this.#decide(...command),
      owes: (room) => this.#flusher.dirty(room),
      unsaved: (room) => this.#checkpointer.dirty(room),
      undecided: (room) => this.#undecided(room),
    })
    this.#releases = new Releases(context, p, (reply) => this.#releases.wait(this.#batch(), reply))
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
    if (this.#releases.waiting > MAX_WAITING_RELEASES || this.#waitingBytes() > MAX_WAITING_BYTES) {
      sendRefusal(origin, command.req, refuse('overloaded', undefined, 200))
      return
    }
    if (this.#context.logFull(this.p) && command.name !== 'fetch' && command.name !== 'open') {
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
    this.#rooms.execute(id, origin, command)
  }

  #waitingBytes(): number {
    let bytes = 0
    for (const batch of this.#queue) bytes += batch.bytes
    return bytes
  }

  #decide(
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
    let decision: Decision
    try {
      decision = behavior.decide(room.state, command, asked)
    } catch (error) {
      if (!(error instanceof ParleyError)) throw error
      // No id is to be had: nothing was decided.
      sendRefusal(origin, command.req, refuse(error.code, undefined, 500))
      return
    }
    const { records, answer } = decision
    if (answer.kind === 'permit') {
      void this.#rooms.askPermit(room, origin, command, answer.peer)
      return
    }
    if (records.length > 0) this.#append(room, records, origin)
    this.#wait({
      kind: 'answer',
      origin,
      req: command.req,
      read: command.name === 'fetch' || command.name === 'open',
      since: 0,
      gone: false,
      room,
      answer,
      back: command.name === 'fetch' && command.back,
    })
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
        this.#releases.wait(batch, { kind: 'event', frame, users, from: origin, entry })
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
    this.#releases.wait(batch, { kind: 'mark', frame, users, from })
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
  #wait(reply: Reply<State>): void {
    const batch = this.#queue.at(-1) ?? this.#frozen
    if (batch !== undefined) this.#releases.wait(batch, reply)
    else this.#releases.leave(reply)
  }

  /** An answer of a user's actor: leaves when this host is proven to be the owner. */
  answer(origin: Origin, run: () => void, req: number): void {
    if (this.#stopped || this.#refuseNew) origin.outlet.moved(origin.token, origin.attempt)
    else this.#wait({ kind: 'run', origin, req, read: true, since: 0, gone: false, run })
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
    for (const room of batch.rooms) {
      room.lastPosition = seq
      this.#checkpointer.dirty(room)
      room.trim(this.#context.historyFloor(this.p))
    }
    this.#releases.committed(batch, seq, sentAt)
    this.#flusher.committed(seq)
    this.#context.committed(this.p, batch.records, batch.bytes)
    this.#spare.push(batch.body)
    if (this.#queue.length > 0) this.#context.schedule(this)
  }

  /** Every 100 ms or so; `lost` after a reconnect. */
  pulse(lost: boolean): void {
    this.#log.pulse(lost)
    this.#releases.pulse()
    this.#checkpointer.pulse(this.#log.last, this.#rooms.complete)
    if (this.settled) this.#boundary(undefined)
  }

  /** True when nothing is undecided and nothing waits to be sent. */
  get settled(): boolean {
    return this.#frozen === undefined && this.#queue.length === 0 && !this.#stopped
  }

  /** Asks for a record in the log, so that it can be trimmed behind it (contracts L0). */
  tick(): void {
    this.#batch()
  }

  /** Loads rooms that have records since the checkpoint, so that what they owe is sent and the checkpoint can rise. */
  loadAll(signal: AbortSignal): Promise<void> {
    return this.#rooms.loadAll(signal)
  }

  /** A recent event's frame, if memory has it. */
  recent(id: RoomId, seq: number): Uint8Array | undefined {
    return this.#rooms.recent(id, seq)
  }

  /** Drops rooms that nobody used since `before` (ms) and that owe nothing. */
  passivate(before: number): void {
    this.#rooms.passivate(before)
  }

  #undecided(room: RoomActor<State>): boolean {
    return (
      this.#frozen?.rooms.includes(room) === true ||
      this.#queue.some((batch) => batch.rooms.includes(room))
    )
  }

  /** True when nothing is undecided and nothing is owed: pointers and checkpoint are where the log is. */
  get drained(): boolean {
    return (
      this.#rooms.idle &&
      this.settled &&
      this.#flusher.idle &&
      this.#checkpointer.drained(this.#log.last)
    )
  }

  /** Not ours any more. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** Everything from now on is answered `moved`, but what was accepted goes on to be committed, and soon. */
  drain(): void {
    this.#refuseNew = true
    this.#checkpointer.hurry = true
  }

  /** It could not be drained: everything is served as before. */
  resume(): void {
    this.#refuseNew = false
    this.#checkpointer.hurry = false
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
    this.#checkpointer.stop()
    this.#releases.stop(this.#frozen === undefined ? this.#queue : [this.#frozen, ...this.#queue])
    this.#rooms.stop()
    this.#queue = []
    this.#frozen = undefined
  }
}
