/**
 * A batch under construction: records as they are decided, and all that may leave when it is committed
 * (contracts L3).
 */
import type { UserId } from '../ids.ts'
import { type LogRecord, writeBatchHeader, writeRecord } from '../protocol/records.ts'
import { Writer } from '../protocol/writer.ts'
import type { Answer } from './behavior.ts'
import type { Origin } from './outbound.ts'
import type { RoomActor, TailEntry } from './room-actor.ts'

type Waits = {
  readonly origin: Origin
  readonly req: number
  /** It only reads: rather than wait for long it is refused for now (contracts L3). */
  readonly read: boolean
  /** When it began to wait (monotonic ms); 0 = not yet. */
  since: number
  /** Answered. */
  gone: boolean
}

/** What a command is answered. */
export type Reply<State> =
  | (Waits & {
      readonly kind: 'answer'
      readonly room: RoomActor<State>
      readonly answer: Answer
      /** A page is wanted downwards. */
      readonly back: boolean
    })
  /** An answer of a user's actor. */
  | (Waits & { readonly kind: 'run'; readonly run: () => void })

export type Release<State> =
  | {
      readonly kind: 'event'
      readonly frame: Uint8Array
      readonly users: readonly UserId[]
      readonly from: Origin
      readonly entry: TailEntry
    }
  /** A frame that is droppable: somebody's position. */
  | {
      readonly kind: 'mark'
      readonly frame: Uint8Array
      readonly users: readonly UserId[]
      readonly from: Origin
    }
  | Reply<State>

/** A batch is closed at this size; past max_payload the server would close the connection (contracts L1). */
export const BATCH_BYTES = 192 * 1024

export class PendingBatch<State> {
  readonly number: number
  readonly releases: Release<State>[] = []
  /** Rooms with a record in it. */
  readonly rooms: RoomActor<State>[] = []
  records = 0
  /** So many of the releases were there when it was frozen: its commit proves that this host was the owner after. */
  proves = 0
  readonly body: Writer

  constructor(number: number, body: Writer) {
    this.number = number
    this.body = body.reset()
  }

  get bytes(): number {
    return this.body.length
  }

  /** Appends a record; returns its event frame, if it has one. */
  add(record: LogRecord): Uint8Array | undefined {
    this.records++
    return writeRecord(this.body, record)
  }

  /** The bytes that are sent, and sent again, until the batch is decided (contracts L1). */
  freeze(epoch: number, prev: number, view: number): Uint8Array {
    if (this.records === 0) this.add({ kind: 'tick' })
    this.proves = this.releases.length
    const header = { epoch, number: this.number, prev, view }
    return writeBatchHeader(new Writer(this.body.length + 64), header)
      .raw(this.body.view())
      .finish()
  }
}
