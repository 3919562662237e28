/**
 * A host that takes partitions when the test says so: the real owner start, partition and pointers over a connection of
 * its own, without placement, users and sessions.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { Appends } from '../actor/appends.ts'
import type { RoomBehavior } from '../actor/behavior.ts'
import { readCommand } from '../actor/intake.ts'
import { Outbound, type Outlet } from '../actor/outbound.ts'
import { type StartContext, takeLog } from '../actor/owner-start.ts'
import { Partition } from '../actor/partition.ts'
import { PointerQueue } from '../actor/pointer-queue.ts'
import { Routes } from '../actor/routes.ts'
import type { Nats } from '../bus/bus.ts'
import { checkpointKey, Positions } from '../bus/positions.ts'
import type { Clock } from '../clock.ts'
import { type DeviceId, newIncarnation, partitionOf, type UserId } from '../ids.ts'
import { Snowflake } from '../snowflake.ts'
import type { HistoryStore } from '../store/history/history.ts'
import type { StateStore } from '../store/state/state.ts'
import { inboxSubject, logSubject, streamOf } from '../subjects.ts'

const PULSE_MS = 5

type Given<State> = {
  readonly nats: Nats
  readonly clock: Clock
  readonly behavior: RoomBehavior<State>
  readonly state: StateStore
  readonly partitions: number
  /** No two hosts have the same. */
  readonly worker: number
}

export class TestHost<State> {
  readonly incarnation = newIncarnation()
  /** Owned partitions. */
  readonly owned = new Map<number, Partition<State>>()
  /** What an operator would have been told. */
  readonly alarms: string[] = []
  fenced = 0
  readonly #given: Given<State>
  readonly #appends: Appends
  readonly #pointers: PointerQueue
  readonly #routes: Routes
  readonly #positions: Positions
  readonly #snowflake: Snowflake
  readonly #life = new AbortController()
  readonly #pulse: NodeJS.Timeout
  #view = 0
  #turning: { turn(): void }[] = []

  static async open<State>(given: Given<State>): Promise<TestHost<State>> {
    return new TestHost(given, new Positions(await given.nats.bucket('checkpoints')))
  }

  private constructor(given: Given<State>, positions: Positions) {
    const { nats, clock, partitions, worker } = given
    this.#given = given
    this.#positions = positions
    this.#snowflake = new Snowflake(worker)
    const outbound = new Outbound(this.incarnation, nats, () => {})
    this.#routes = new Routes(async () => undefined, outbound, clock)
    this.#appends = new Appends(nats, {
      log: (p, epoch, number, attempt, reply) => {
        const partition = this.owned.get(p)
        if (partition?.epoch === epoch) partition.log.reply(number, attempt, reply)
      },
      inbox: (p, batch, reply) => this.#pointers.reply(p, batch, reply),
    })
    this.#pointers = new PointerQueue(
      { append: (p, bytes, batch) => this.#appends.inbox(inboxSubject(p), p, bytes, batch) },
      partitions,
      (user) => partitionOf(user, partitions),
      clock,
    )
    this.#pulse = setInterval(() => {
      for (const partition of this.owned.values()) partition.pulse(false)
      this.#pointers.pulse()
      this.#pointers.flush()
    }, PULSE_MS)
  }

  /** Takes `p` over under that view; answers whether this host got it. Serves when that may be (contracts L10). */
  async claim(p: number, view: number): Promise<boolean> {
    this.#view = Math.max(this.#view, view)
    const who = { incarnation: this.incarnation, host: this.incarnation, view }
    const taken = await takeLog(this.#start(), p, who, this.#life.signal)
    if (taken.kind === 'yield') return false
    const { epoch, chain, checkpoint, quietUntil } = taken
    const { clock } = this.#given
    while (clock.monotonic() < quietUntil) await pause(1)
    this.lose(p)
    const partition = new Partition(this.#context(), p, epoch, chain.rooms, checkpoint)
    this.owned.set(p, partition)
    void partition.loadAll(this.#life.signal)
    return true
  }

  put(user: UserId, frame: Uint8Array, attempt: number, outlet: Outlet): void {
    const command = readCommand(frame)
    const { room } = command
    const partition = this.owned.get(partitionOf(room, this.#given.partitions))
    if (partition === undefined) outlet.moved(0, attempt)
    else {
      const device = 'vtest' as DeviceId
      const from = { outlet, gateway: undefined, token: 0, attempt, handle: 0, user, device }
      partition.execute(room, from, command)
    }
  }

  lose(p: number): void {
    this.owned.get(p)?.stop()
    this.owned.delete(p)
    this.#pointers.discard((room) => partitionOf(room, this.#given.partitions) === p)
  }

  close(): void {
    this.#life.abort(new Error('closed'))
    clearInterval(this.#pulse)
    for (const p of [...this.owned.keys()]) this.lose(p)
    this.#appends.close()
  }

  #start(): StartContext {
    const { nats, clock } = this.#given
    return {
      nats,
      clock,
      appends: this.#appends,
      positions: this.#positions,
      streams: 1,
      historyFloor: async () => 0,
      inboxConsumer: () => {
        throw new Error('there are no users here')
      },
      provenDead: () => false,
      alarm: (_p, text) => this.alarms.push(text),
    }
  }

  #context(): ConstructorParameters<typeof Partition<State>>[0] {
    const { nats, clock, behavior, state } = this.#given
    return {
      behavior,
      clock,
      limits: { textBytes: 8192, roomIdleMs: 60_000 },
      routes: this.#routes,
      pointers: this.#pointers,
      history: {
        page: async () => [],
        kept: async () => 1,
      } as Partial<HistoryStore> as HistoryStore,
      state,
      nextId: (now) => this.#snowflake.next(now),
      schedule: (partition) => {
        this.#turning.push(partition)
        if (this.#turning.length === 1) setImmediate(() => this.#turn())
      },
      append: (p, epoch, bytes, expected, number, attempt) =>
        this.#appends.log(logSubject(p), p, epoch, bytes, expected, number, attempt),
      record: (p, seq) => nats.streams.get(streamOf('LOG', p, 1), seq),
      permit: async () => 'granted',
      view: () => this.#view,
      historyFloor: () => 0,
      logFull: () => false,
      saveCheckpoint: (p, position) => this.#positions.raise(checkpointKey(p), position),
      lost: (p) => {
        this.fenced++
        this.lose(p)
      },
      damaged: (p, why) => {
        this.alarms.push(why)
        this.lose(p)
      },
      alarm: (_p, why) => this.alarms.push(why),
      doubt: () => {},
      committed: () => {},
      storeFailed: (_p, _room, cause) => this.alarms.push(String(cause)),
    }
  }

  #turn(): void {
    const due = this.#turning
    this.#turning = []
    for (const partition of due) partition.turn()
  }
}
