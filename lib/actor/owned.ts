/**
 * A partition that this host owns, whole: its rooms, its users, their sessions and queues. Made from a claim
 * (contracts L, owner start); everything in it ends with `life`.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Unsubscribe } from '../bus/bus.ts'
import { checkpointKey, inboxFloorKey, type Positions } from '../bus/positions.ts'
import type { Incarnation, UserId } from '../ids.ts'
import { logSubject, streamOf } from '../subjects.ts'
import type { Appends } from './appends.ts'
import type { Asks } from './asks.ts'
import type { PartitionContext } from './context.ts'
import type { HistoryFloors } from './floors.ts'
import { Fold, type FoldContext } from './fold.ts'
import type { HostOptions } from './host-options.ts'
import type { Outbound } from './outbound.ts'
import { inboxFloor, type StartContext, takeInbox, takeLog } from './owner-start.ts'
import { Partition } from './partition.ts'
import type { Placement } from './placement.ts'
import type { PointerQueue } from './pointer-queue.ts'
import { queuePort } from './queue-port.ts'
import { loadQueues, Queues } from './queues.ts'
import type { Routes, SessionRoute } from './routes.ts'
import { Sessions } from './sessions.ts'
import { Tombstones } from './tombstones.ts'
import type { Trimmer } from './trim.ts'
import type { WorkerLease } from './worker-lease.ts'

export type Owned<Room, User> = {
  readonly partition: Partition<Room>
  readonly fold: Fold<User>
  readonly sessions: Sessions<User>
  readonly queues: Queues
  readonly tombstones: Tombstones<User>
  readonly life: AbortController
  /** Ends listening on the actors' own subjects. */
  readonly unsubscribe: Unsubscribe
}

/** What all partitions of a host share. */
export type Parts<Room, User> = {
  readonly options: HostOptions<Room, User>
  readonly placement: Placement
  readonly outbound: Outbound
  readonly routes: Routes
  readonly pointers: PointerQueue
  readonly appends: Appends
  readonly asks: Asks
  readonly positions: Positions
  readonly floors: HistoryFloors
  readonly worker: WorkerLease
  readonly trimmer: Trimmer
  readonly counts: { batches: number; records: number; bytes: number; doubts: number }
  /** The log of `p` is so full that clients are refused (contracts L0). */
  logFull(p: number): boolean
  /** Asks for a turn of `partition` at the end of this loop turn. */
  schedule(partition: { turn(): void }): void
  /** Subscribes to the subjects of the actors in `p`. */
  listen(p: number): Unsubscribe
  /** Tells a host that holds a lease on a user's routes. */
  tell(host: Incarnation, user: UserId, sessions: readonly SessionRoute[]): void
  /** Another owner has written under placement view `view`. */
  lost(p: number, view: number): void
  damaged(p: number, why: string): void
}

/** From a claim to a partition that is ready to serve; the view of the other side when it yields (contracts O5). */
export const openOwned = async <Room, User>(
  parts: Parts<Room, User>,
  p: number,
  view: number,
  life: AbortController,
): Promise<Owned<Room, User> | { readonly yieldTo: number }> => {
  const { options } = parts
  const { identity, clock, nats, streams } = options
  const { signal } = life
  const start = startContext(parts)
  const taken = await takeLog(start, p, { ...identity, view }, signal)
  if (taken.kind === 'yield') return { yieldTo: taken.view }
  const { epoch, checkpoint, chain, quietUntil } = taken
  // Before the rows of the queues, which a former owner may be storing still: of a floor that is newer than they are,
  // the entries below it would be numbered twice (contracts I5).
  const floor = await inboxFloor(start, p, signal)
  const queues = new Queues(p, epoch, queuesOf(parts, p), options.state, signal)
  await loadQueues(queues, signal)
  let sessions: Sessions<User> | undefined
  const context = foldContext(parts, p, (users) => sessions?.folded(users))
  const fold = new Fold<User>(context, p, floor, queues)
  const inbox = await nats.streams.state(streamOf('INBOX', p, streams))
  const partition = new Partition<Room>(partitionContext(parts), p, epoch, chain.rooms, checkpoint)
  sessions = new Sessions<User>(
    {
      behavior: options.user,
      outbound: parts.outbound,
      monotonic: () => clock.monotonic(),
      nextLineage: () => parts.worker.source.lineage(clock.now()),
      answer: (origin, run, req) => partition.answer(origin, run, req),
      tell: (host, user, list) => parts.tell(host, user, list),
    },
    fold,
    Date.parse(inbox.created).toString(36),
    queues,
  )
  await takeInbox(start, fold, epoch, signal)
  // L10: the former owner may be answering until then.
  while (clock.monotonic() < quietUntil) {
    await pause(Math.min(quietUntil - clock.monotonic(), QUIET_STEP_MS), undefined, { signal })
  }
  signal.throwIfAborted()
  if (!(await queues.unchanged())) throw new Error('the former owner changed its queues meanwhile')
  signal.throwIfAborted()
  options.log.info({ p, epoch, rooms: chain.rooms.size }, 'partition.serving')
  const tombstones = new Tombstones<User>(
    {
      behavior: options.user,
      state: options.state,
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      failed: (user, err) => options.log.warn({ p, user, err }, 'store.failed'),
    },
    fold,
  )
  return { partition, fold, sessions, queues, tombstones, life, unsubscribe: parts.listen(p) }
}

const startContext = <Room, User>(parts: Parts<Room, User>): StartContext => {
  const { nats, clock, streams, inboxConsumer, log } = parts.options
  return {
    nats,
    clock,
    appends: parts.appends,
    positions: parts.positions,
    streams,
    historyFloor: async (p) => parts.floors.of(p % streams),
    inboxConsumer,
    provenDead: (p, epoch) => parts.placement.provenDead(p, epoch),
    alarm: (p, text) => log.error({ p, text }, 'partition.alarm'),
  }
}

const foldContext = <Room, User>(
  parts: Parts<Room, User>,
  p: number,
  folded: FoldContext<User>['folded'],
): FoldContext<User> => {
  const { user, state, clock, log } = parts.options
  return {
    behavior: user,
    state,
    monotonic: () => clock.monotonic(),
    saveFloor: (_p, position) => parts.positions.raise(inboxFloorKey(p), position),
    folded,
    storeFailed: (_p, _user, err) => log.warn({ p, err }, 'store.failed'),
    poisoned: (_p, position, err) => log.error({ p, position, err }, 'inbox.unreadable'),
  }
}

const queuesOf = <Room, User>(parts: Parts<Room, User>, p: number) => {
  const { queueConsumer, queueLimits, nats, state, clock, log } = parts.options
  return queuePort({
    consumer: queueConsumer,
    limits: queueLimits,
    streams: nats.streams,
    appends: parts.appends,
    state,
    now: () => clock.now(),
    failed: (user, device, err) => log.warn({ p, user, device, err }, 'queue.failed'),
  })
}

/** The quiet time is one of the given clock, not of timers. */
const QUIET_STEP_MS = 50
/** JetStream's err_code when a stream takes no more. */
const STREAM_FULL = 10077

const partitionContext = <Room, User>(parts: Parts<Room, User>): PartitionContext<Room> => {
  const { room, clock, limits, history, state, nats, streams, log } = parts.options
  const { counts } = parts
  return {
    behavior: room,
    clock,
    limits,
    routes: parts.routes,
    pointers: parts.pointers,
    history,
    state,
    nextId: (now) => parts.worker.source.next(now),
    schedule: (partition) => parts.schedule(partition),
    append: (p, epoch, bytes, expected, number, attempt) =>
      parts.appends.log(logSubject(p), p, epoch, bytes, expected, number, attempt),
    record: (p, seq) => nats.streams.get(streamOf('LOG', p, streams), seq),
    permit: (user, peer) => parts.asks.permit(user, peer),
    view: () => parts.placement.view,
    historyFloor: (p) => parts.floors.of(p % streams),
    logFull: (p) => parts.logFull(p),
    saveCheckpoint: (p, position) => parts.positions.raise(checkpointKey(p), position),
    lost: (p, view) => {
      log.warn({ p, view }, 'partition.fenced')
      parts.lost(p, view)
    },
    damaged: (p, why) => {
      log.error({ p, why }, 'partition.damaged')
      parts.damaged(p, why)
    },
    alarm: (p, text) => log.error({ p, text }, 'partition.alarm'),
    doubt: (p, code, text) => {
      counts.doubts++
      log.debug({ p, code, text }, 'log.doubt')
      // Even epochs and ticks do not go in any more: what others no longer need makes room (contracts L0).
      if (code === STREAM_FULL) {
        parts.trimmer.makeRoom(p).catch((err: unknown) => log.warn({ p, err }, 'trim.failed'))
      }
    },
    committed: (_p, records, bytes) => {
      counts.batches++
      counts.records += records
      counts.bytes += bytes
    },
    storeFailed: (p, id, err) => log.warn({ p, room: id, err }, 'store.failed'),
  }
}
