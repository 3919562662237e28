/** What a partition needs of its host. */
import type { StoredMessage } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import type { Refusal } from '../errors.ts'
import type { RoomId, UserId } from '../ids.ts'
import type { HistoryStore } from '../store/history/history.ts'
import type { StateStore } from '../store/state/state.ts'
import type { RoomBehavior } from './behavior.ts'
import type { PointerQueue } from './pointer-queue.ts'
import type { Routes } from './routes.ts'

export type ActorLimits = {
  /** Largest text of a message, bytes. */
  readonly textBytes: number
  /** A room that nobody uses for this long leaves the memory, ms. */
  readonly roomIdleMs: number
}

export type PartitionContext<State> = {
  readonly behavior: RoomBehavior<State>
  readonly clock: Clock
  readonly limits: ActorLimits
  readonly routes: Routes
  readonly pointers: PointerQueue
  readonly history: HistoryStore
  readonly state: StateStore
  nextId(now: number): bigint
  /** Asks for `turn` at the end of this loop turn. */
  schedule(partition: { turn(): void }): void
  append(
    p: number,
    epoch: number,
    bytes: Uint8Array,
    expected: number,
    number: number,
    attempt: number,
  ): void
  /** The log record of a partition at a position. */
  record(p: number, seq: number): Promise<StoredMessage | undefined>
  /** Whether `user` may start a dm with `peer`, as both their actors say. */
  permit(user: UserId, peer: UserId): Promise<'granted' | Refusal>
  /** This host's placement view. */
  view(): number
  /** Up to where history has stored the partition's stream. */
  historyFloor(p: number): number
  /** The log of `p` is so full that clients' commands are refused (contracts L0). */
  logFull(p: number): boolean
  /** Stores a checkpoint; it only rises. */
  saveCheckpoint(p: number, position: number): Promise<void>
  /** Another owner has written with placement view `view`. */
  lost(p: number, view: number): void
  damaged(p: number, why: string): void
  /** Something an operator should see. */
  alarm(p: number, why: string): void
  doubt(p: number, code: number, text: string): void
  committed(p: number, records: number, bytes: number): void
  storeFailed(p: number, room: RoomId | undefined, cause: unknown): void
}
