/**
 * A partition on a stage: the test is its log, its stores, its clock and its loop, and sees all that leaves it.
 * Nothing is committed until the test says so.
 */
import type { RoomBehavior, RoomCommand } from '../actor/behavior.ts'
import type { PartitionContext } from '../actor/context.ts'
import { Outbound } from '../actor/outbound.ts'
import { Partition } from '../actor/partition.ts'
import { PointerQueue } from '../actor/pointer-queue.ts'
import type { Placed } from '../actor/replay.ts'
import { Routes } from '../actor/routes.ts'
import type { AppendReply, Bus, StoredMessage } from '../bus/bus.ts'
import type { Refusal } from '../errors.ts'
import type { DeviceId, Incarnation, RoomId, UserId } from '../ids.ts'
import { readFrame } from '../protocol/codec.ts'
import { readLive } from '../protocol/envelopes.ts'
import { type InboxEntry, readInbox } from '../protocol/inbox.ts'
import { Reader } from '../protocol/reader.ts'
import { type Batch, decodeBatch } from '../protocol/records.ts'
import type { HistoryStore } from '../store/history/history.ts'
import type { RoomSnapshot, StateStore } from '../store/state/state.ts'
import { TestClock } from './test-clock.ts'

/** What somebody was told. */
export class Told {
  readonly finals: ReturnType<typeof frameOf>[] = []
  readonly laters: ReturnType<typeof frameOf>[] = []
  moved = 0

  get nothing(): boolean {
    return this.finals.length + this.laters.length + this.moved === 0
  }

  /** Names of the frames; `moved` for each of those. */
  get all(): string[] {
    const frames = [...this.finals, ...this.laters].map(({ name }) => String(name))
    return [...frames, ...Array<string>(this.moved).fill('moved')]
  }
}

const frameOf = (bytes: Uint8Array) => readFrame(new Reader(bytes.slice()))

export type Append = {
  readonly bytes: Uint8Array
  readonly batch: Batch
  readonly expected: number
  readonly number: number
  readonly attempt: number
}

type Given = {
  readonly epoch?: number
  readonly checkpoint?: number
  readonly unloaded?: ReadonlyMap<RoomId, Placed[]>
  readonly textBytes?: number
  /** Snapshots that are stored already. */
  readonly stored?: readonly RoomSnapshot[]
  readonly history?: HistoryStore['page']
}

export const EPOCH = 10

export const partitionStage = <State>(behavior: RoomBehavior<State>, given: Given = {}) => {
  const { epoch = EPOCH, checkpoint = 0, unloaded = new Map(), textBytes = 8192 } = given
  const clock = new TestClock()
  const appends: Append[] = []
  const live: { user: string; frame: ReturnType<typeof frameOf> }[] = []
  const inbox: { p: number; batch: number; entries: InboxEntry[] }[] = []
  const records = new Map<number, StoredMessage>()
  const saved: RoomSnapshot[] = []
  const stored = new Map((given.stored ?? []).map((snapshot) => [snapshot.room, snapshot]))
  const checkpoints: number[] = []
  const told: string[] = []
  let turning: { turn(): void }[] = []
  let ids = 1000n

  const on = {
    /** Each may be replaced by a test: a store that fails, or is slow. */
    readRoom: async (room: RoomId): Promise<RoomSnapshot | undefined> => stored.get(room),
    saveRooms: async (_snapshots: readonly RoomSnapshot[]): Promise<void> => {},
    saveCheckpoint: async (_position: number): Promise<void> => {},
    permit: async (): Promise<'granted' | Refusal> => 'granted',
    page: given.history ?? (async () => []),
    /** The floor of every room's history. */
    kept: 1,
    nextId: () => ++ids,
    full: false,
    view: 1,
    historyFloor: 0,
  }

  const bus: Pick<Bus, 'publish'> = {
    publish: (subject, data) => {
      const user = subject.replace(/^live\./, '')
      readLive(data.slice(), (_gateway, _handle, frame) =>
        live.push({ user, frame: frameOf(frame) }),
      )
    },
  }
  const outbound = new Outbound('hstage' as Incarnation, bus as Bus, () => {})
  const pointers = new PointerQueue(
    {
      append: (p, bytes, batch) => {
        const entries: InboxEntry[] = []
        readInbox(bytes, (entry) => entries.push(entry))
        inbox.push({ p, batch, entries })
      },
    },
    1,
    () => 0,
    clock,
  )

  const context: PartitionContext<State> = {
    behavior,
    clock,
    limits: { textBytes, roomIdleMs: 60_000 },
    routes: new Routes(async () => undefined, outbound, clock),
    pointers,
    history: {
      page: (...range: Parameters<HistoryStore['page']>) => on.page(...range),
      kept: async () => on.kept,
    } as Partial<HistoryStore> as HistoryStore,
    state: {
      room: (room: RoomId) => on.readRoom(room),
      saveRooms: async (snapshots: readonly RoomSnapshot[]) => {
        await on.saveRooms(snapshots)
        for (const snapshot of snapshots) stored.set(snapshot.room, snapshot)
        saved.push(...snapshots)
      },
    } as StateStore,
    nextId: () => on.nextId(),
    schedule: (partition) => turning.push(partition),
    append: (_p, _epoch, bytes, expected, number, attempt) => {
      appends.push({ bytes: bytes.slice(), batch: decodeBatch(bytes), expected, number, attempt })
    },
    record: async (_p, seq) => records.get(seq),
    permit: () => on.permit(),
    view: () => on.view,
    historyFloor: () => on.historyFloor,
    logFull: () => on.full,
    saveCheckpoint: async (_p, position) => {
      await on.saveCheckpoint(position)
      checkpoints.push(position)
    },
    lost: (_p, view) => {
      told.push(`lost to view ${view}`)
      partition.stop()
    },
    damaged: () => {
      told.push('damaged')
      partition.stop()
    },
    alarm: () => told.push('alarm'),
    doubt: () => {},
    committed: () => {},
    storeFailed: (_p, room) => told.push(`store failed ${room ?? ''}`.trim()),
  }
  const partition = new Partition<State>(context, 3, epoch, unloaded, checkpoint)
  let position = epoch
  let token = 0

  const turn = (): void => {
    const due = turning
    turning = []
    for (const one of due) one.turn()
  }
  const reply = (answer: AppendReply, number = appends.at(-1)?.number ?? 0): void =>
    partition.log.reply(number, 0, answer)

  return {
    clock,
    on,
    partition,
    pointers,
    appends,
    records,
    /** Frames that left on `live.<uid>`. */
    live,
    inbox,
    saved,
    stored,
    checkpoints,
    /** What the host was told. */
    told,
    /** The end of a loop turn. */
    turn,
    reply,
    /** The batch that is on its way is committed; answers its position. */
    ack: (): number => {
      reply({ ok: true, seq: ++position, stream: 'LOG_0' })
      return position
    },
    /** Turns and acks until nothing waits. */
    settle: (): void => {
      for (let turns = 0; turns < 100; turns++) {
        turn()
        if (partition.settled) return
        reply({ ok: true, seq: ++position, stream: 'LOG_0' })
      }
      throw new Error('it does not settle')
    },
    /** The last batch of pointers is in the inbox. */
    ackPointers: (): void =>
      pointers.reply(0, inbox.at(-1)!.batch, { ok: true, seq: inbox.length, stream: 'INBOX_0' }),
    ask: (user: UserId, room: RoomId, command: RoomCommand): Told => {
      const its = new Told()
      partition.execute(room, originOf(user, ++token, its), command)
      return its
    },
    /** An answer of a user's actor. */
    answer: (user: UserId): { told: Told; ran: () => number } => {
      const its = new Told()
      let ran = 0
      partition.answer(originOf(user, ++token, its), () => ran++, 7)
      return { told: its, ran: () => ran }
    },
  }
}

const originOf = (user: UserId, token: number, its: Told) => ({
  outlet: {
    final: (_token: number, _attempt: number, frame: Uint8Array) => its.finals.push(frameOf(frame)),
    later: (_token: number, _attempt: number, frame: Uint8Array) => its.laters.push(frameOf(frame)),
    moved: () => {
      its.moved++
    },
  },
  gateway: undefined,
  token,
  attempt: 0,
  handle: 0,
  user,
  device: 'vstage' as DeviceId,
})
