/** One round: fresh servers, seeded users, generators that are connected and have made their rooms. */
import { mkdirSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import type { SeededUser } from '../lib/api/seed.ts'
import { Fleet, type Sum } from './load/fleet.ts'
import type { Counters, Verdict } from './load/orders.ts'
import type { LoadPlan, Pace, RoomPlan } from './load/plan.ts'
import { CpuMeter } from './measure/cpu.ts'
import type { BenchOptions } from './options.ts'
import { Parley } from './servers/parley.ts'
import { seedUsers } from './servers/seed.ts'

const SETTLE_MS = 10_000

/** What one window showed. Rates are per second of its own clock, so that no two clocks must agree. */
export type Window = {
  readonly sum: Sum
  readonly ackedPerSecond: number
  readonly deliveredPerSecond: number
  /** Cores used, by role. */
  readonly cores: ReadonlyMap<string, number>
  /** Cores used by each generator process. */
  readonly generators: readonly number[]
  /** Cores used by what is neither server nor generator: with many, latencies say little. */
  readonly othersCores: number
  /** Sends that were due and not acked, at its start and end. */
  readonly openBefore: number
  readonly openAfter: number
}

export type StageOptions = {
  readonly users: number
  readonly rooms: readonly RoomPlan[]
  readonly resilient: boolean
}

export class Stage {
  readonly parley: Parley
  readonly fleet: Fleet
  readonly #options: BenchOptions

  private constructor(parley: Parley, fleet: Fleet, options: BenchOptions) {
    this.parley = parley
    this.fleet = fleet
    this.#options = options
  }

  /** `say` tells of progress. Whatever fails, nothing is left running. */
  static async open(
    options: BenchOptions,
    stage: StageOptions,
    say: (line: string) => void,
  ): Promise<Stage> {
    const { topology, durability, cpuProf, settings } = options
    if (cpuProf !== undefined) mkdirSync(cpuProf, { recursive: true })
    const parley = await Parley.prepare({ topology, durability, cpuProf, settings })
    const fleet = new Fleet(options.generators)
    const opened = new Stage(parley, fleet, options)
    try {
      say(`seeding ${stage.users} users`)
      const users = await seedUsers(stage.users, parley.settings)
      say('starting the servers')
      await parley.start()
      say(`connecting, making ${stage.rooms.length} rooms`)
      await fleet.setUp(plansOf(options, stage, users, parley))
      return opened
    } catch (error) {
      const tails = parley.tails
      await opened.end()
      throw new Error(`${error instanceof Error ? error.message : error}\n${tails}`)
    }
  }

  /** Load at this pace: warm-up, window, then nothing until all is acked and delivered. */
  async window(pace: Pace): Promise<Window> {
    const { warmUpSeconds, seconds } = this.#options
    const meter = new CpuMeter(this.parley.pids)
    await this.fleet.go(pace)
    await pause(warmUpSeconds * 1000)
    meter.start()
    const before = await this.fleet.openWindow()
    await pause(seconds * 1000)
    const after = await this.fleet.shutWindow()
    const { byRole, elapsedMs, machineMs } = meter.stop()
    const sum = await this.fleet.stop(SETTLE_MS)
    const per = (pick: (one: Counters) => number): number[] =>
      after.map((one, i) => (pick(one) - pick(before[i]!)) / (one.atUs - before[i]!.atUs))
    const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)
    const cores = new Map([...byRole].map(([role, cpuMs]) => [role, cpuMs / elapsedMs]))
    const generators = per((one) => one.cpuUs)
    const ours = total([...cores.values(), ...generators])
    return {
      sum,
      ackedPerSecond: total(per((one) => one.acked)) * 1e6,
      deliveredPerSecond: total(per((one) => one.delivered)) * 1e6,
      cores,
      generators,
      othersCores: Math.max(0, machineMs / elapsedMs - ours),
      openBefore: total(before.map((one) => one.open)),
      openAfter: total(after.map((one) => one.open)),
    }
  }

  finish(options: { history: boolean; settled: boolean }): Promise<Verdict[]> {
    return this.fleet.finish(options)
  }

  async end(): Promise<void> {
    await this.fleet.end()
    await this.parley.end()
  }
}

/** Rooms are dealt out to the processes; each gets the users of its rooms. */
const plansOf = (
  options: BenchOptions,
  stage: StageOptions,
  users: readonly SeededUser[],
  parley: Parley,
): LoadPlan[] =>
  dealRooms(stage.rooms, options.generators).map(({ members, rooms }, i) => ({
    address: parley.address,
    users: members.map((index) => users[index]!),
    rooms,
    textBytes: options.bytes,
    sources: Array.from({ length: 4 }, (_, at) => `127.0.0.${2 + i * 4 + at}`),
    resilient: stage.resilient,
    verify: options.verify,
    seed: options.seed * 1000 + i,
  }))

export type Share = { readonly members: readonly number[]; readonly rooms: readonly RoomPlan[] }

/** Rooms in turn to `shares` processes, with the indexes of their users made local. */
export const dealRooms = (rooms: readonly RoomPlan[], shares: number): Share[] =>
  Array.from({ length: shares }, (_, share) => {
    const members: number[] = []
    const local = new Map<number, number>()
    const localOf = (index: number): number => {
      let at = local.get(index)
      if (at === undefined) {
        at = members.push(index) - 1
        local.set(index, at)
      }
      return at
    }
    const mine = rooms
      .filter((_, at) => at % shares === share)
      .map((room) => ({
        kind: room.kind,
        members: room.members.map(localOf),
        senders: room.senders.map(localOf),
      }))
    return { members, rooms: mine }
  })
