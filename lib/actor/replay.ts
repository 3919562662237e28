/**
 * Reads what a partition's log holds and proves that nothing is missing (contracts L2, owner start 3). A replica may
 * be stale or short; a chain that does not hold is read again, never served.
 */
import type { StoredMessage } from '../bus/bus.ts'
import type { RoomId } from '../ids.ts'
import {
  type Batch,
  decodeBatch,
  decodeHeader,
  type EventRecord,
  type RoomRecord,
} from '../protocol/records.ts'

/** A record with its place in the log; `frame` is the event frame in it. */
export type Placed = {
  readonly position: number
  readonly record: RoomRecord
  readonly frame: Uint8Array | undefined
}

export type Chain = {
  /** Records by room, in order. */
  readonly rooms: ReadonlyMap<RoomId, Placed[]>
  /** Whether the record before our epoch was a `handover`: its writer wrote nothing after it. */
  readonly handed: boolean
}

export class BrokenChain extends Error {
  constructor(why: string) {
    super(why)
    this.name = 'BrokenChain'
  }
}

/** Somebody has written after our epoch record: the log is theirs now (contracts L9). */
export class Superseded extends Error {
  readonly view: number

  constructor(seq: number, view: number) {
    super(`record ${seq} stands after our epoch record`)
    this.name = 'Superseded'
    this.view = view
  }
}

export class ChainBuilder {
  readonly #rooms = new Map<RoomId, Placed[]>()
  readonly #floor: number
  readonly #checkpoint: number
  readonly #epoch: number
  #position = 0
  #previous: Batch | undefined
  #sawCheckpoint: boolean
  #handed = false

  /** Records are read from `floor` (exclusive); `checkpoint` ≥ floor or 0; `epoch` is the sequence of our own record. */
  constructor(floor: number, checkpoint: number, epoch: number) {
    this.#floor = floor
    this.#checkpoint = checkpoint
    this.#epoch = epoch
    this.#sawCheckpoint = checkpoint <= floor
  }

  /** @throws BrokenChain when something is missing before it, Superseded when it stands after our own record */
  add(message: StoredMessage): void {
    const { seq } = message
    if (seq <= this.#floor) return
    if (seq > this.#epoch) throw new Superseded(seq, decodeHeader(message.data).view)
    const frames: Uint8Array[] = []
    const batch = decodeBatch(message.data, (_room, _seq, frame) => frames.push(frame))
    this.#link(seq, batch)
    let next = 0
    for (const record of batch.records) {
      if (record.kind === 'epoch' || record.kind === 'tick' || record.kind === 'handover') continue
      const frame = record.kind === 'event' ? frames[next++] : undefined
      const placed = this.#rooms.get(record.room)
      if (placed === undefined) this.#rooms.set(record.room, [{ position: seq, record, frame }])
      else placed.push({ position: seq, record, frame })
    }
    // What stands before our own record.
    if (seq < this.#epoch) this.#handed = batch.records.at(-1)?.kind === 'handover'
    if (seq === this.#checkpoint) this.#sawCheckpoint = true
    this.#position = seq
    this.#previous = batch
  }

  #link(seq: number, batch: Batch): void {
    const previous = this.#previous
    if (previous === undefined) {
      const { prev } = batch
      if (prev > this.#floor || (this.#sawCheckpoint && prev !== this.#checkpoint)) {
        throw new BrokenChain(
          `the first record ${seq} follows ${prev}; floor ${this.#floor}, checkpoint ${this.#checkpoint}`,
        )
      }
      return
    }
    if (batch.prev !== this.#position) {
      throw new BrokenChain(`record ${seq} follows ${batch.prev}, not ${this.#position}`)
    }
    // Batches are dense within an epoch; an epoch record has epoch 0 and starts a new one at its own sequence.
    if (batch.epoch === 0) return
    const expected = previous.epoch === batch.epoch ? previous.number + 1 : 1
    const startsHere = previous.epoch !== batch.epoch
    if (startsHere && !(previous.epoch === 0 && batch.epoch === this.#position)) {
      throw new BrokenChain(
        `record ${seq} of epoch ${batch.epoch} does not follow its epoch record`,
      )
    }
    if (batch.number !== expected) {
      throw new BrokenChain(`record ${seq} is batch ${batch.number}, not ${expected}`)
    }
  }

  /** @throws BrokenChain when something is missing */
  finish(): Chain {
    if (this.#position !== this.#epoch) {
      throw new BrokenChain(`the log ends at ${this.#position}, before our epoch ${this.#epoch}`)
    }
    if (!this.#sawCheckpoint) {
      throw new BrokenChain(`the record of checkpoint ${this.#checkpoint} is missing`)
    }
    return { rooms: this.#rooms, handed: this.#handed }
  }
}

/** True for the records that history keeps. */
export const isEvent = (record: RoomRecord): record is EventRecord => record.kind === 'event'
