/**
 * kill -9 under load: each process in turn, at moments drawn from a seed; what was killed is started again on the same
 * data and ports, the clients come back and resend. At the end every history is read, and the invariants judge.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { nowUs } from '../load/clock.ts'
import type { Status } from '../load/orders.ts'
import type { RoomPlan } from '../load/plan.ts'
import { Random } from '../load/random.ts'
import { type Machine, machine } from '../measure/machine.ts'
import type { BenchOptions } from '../options.ts'
import { type Judged, judgedOf } from '../row.ts'
import { ROLES, type Role } from '../servers/parley.ts'
import { Stage } from '../stage.ts'
import { drawFaults, type Fault } from './faults.ts'

const RATE = 4000
const PAIRS = 60
const GROUPS = 10
const GROUP_SIZE = 5
const GROUP_SENDERS = 3
const FAULTS = 12
const WARM_UP_MS = 3000
const WATCH_MS = 50
/** Nothing late for so long: normal again. */
const QUIET_US = 1_000_000
/** A send that waits longer than this is late. */
const LATE_US = 500_000
const NORMAL_WITHIN_MS = 60_000
const SETTLE_MS = 60_000

export type Landed = {
  readonly role: Role
  readonly also: Role | undefined
  /** The process lived, and messages were being acked, when the signal was sent. */
  readonly landed: boolean
  /** From the first kill until the last late message had arrived; undefined when that did not happen in time. */
  readonly normalMs: number | undefined
}

export type KillResult = {
  readonly machine: Machine
  readonly rate: number
  readonly faults: readonly Landed[]
  readonly faultsLanded: number
  readonly settled: boolean
  readonly judged: Judged
}

const castOf = (pairs: number): { users: number; rooms: RoomPlan[] } => {
  const rooms: RoomPlan[] = []
  for (let i = 0; i < pairs; i++) {
    // Both talk, so a device sends and receives in the same session.
    rooms.push({ kind: 'dm', members: [2 * i, 2 * i + 1], senders: [2 * i, 2 * i + 1] })
  }
  for (let i = 0; i < GROUPS; i++) {
    const first = 2 * pairs + i * GROUP_SIZE
    const members = Array.from({ length: GROUP_SIZE }, (_, at) => first + at)
    rooms.push({ kind: 'group', members, senders: members.slice(0, GROUP_SENDERS) })
  }
  return { users: 2 * pairs + GROUPS * GROUP_SIZE, rooms }
}

export const runKill = async (
  options: BenchOptions,
  say: (line: string) => void,
): Promise<KillResult> => {
  const rate = options.rates?.[0] ?? RATE
  const roles: readonly Role[] = options.topology === 'one' ? ['host', 'nats'] : ROLES
  const drawn = drawFaults(options.faults ?? FAULTS, roles, new Random(options.seed))
  const cast = castOf(options.pairs ?? PAIRS)
  const stage = await Stage.open(options, { ...cast, resilient: true }, say)
  try {
    const where = machine(await stage.parley.natsVersion())
    await stage.fleet.go({ kind: 'open', rate })
    await pause(WARM_UP_MS)
    const faults: Landed[] = []
    for (const fault of drawn) {
      const done = await strike(stage, fault)
      faults.push(done)
      const also = done.also === undefined ? '' : ` and ${done.also}`
      const took =
        done.normalMs === undefined ? 'not normal again' : `${done.normalMs} ms to normal`
      say(`kill -9 of ${done.role}${also}: ${done.landed ? took : 'did not land'}`)
      if (done.normalMs === undefined) break
    }
    say('settling')
    const { settled } = await stage.fleet.stop(SETTLE_MS)
    say('reading every history')
    const judged = judgedOf(await stage.finish({ history: true, settled }))
    const faultsLanded = faults.filter(({ landed }) => landed).length
    return { machine: where, rate, faults, faultsLanded, settled, judged }
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n${stage.parley.tails}`)
  } finally {
    await stage.end()
  }
}

const acked = (statuses: readonly Status[]): number =>
  statuses.reduce((sum, status) => sum + status.acked, 0)

const strike = async (stage: Stage, fault: Fault): Promise<Landed> => {
  const { parley, fleet } = stage
  const before = acked(await fleet.status())
  await pause(fault.afterMs)
  const flowing = acked(await fleet.status()) > before
  const killedUs = nowUs()
  const killed = await parley.kill(fault.role)
  const back = [parley.restart(fault.role)]
  if (fault.also !== undefined) {
    await pause(fault.also.afterMs)
    // The second may be down with the first, or not up yet: then only the first counts.
    if (fault.also.role === 'nats' || parley.pidOf(fault.also.role) !== undefined) {
      if (await parley.kill(fault.also.role)) back.push(parley.restart(fault.also.role))
    }
  }
  await Promise.all(back)
  const normalUs = await untilNormal(stage, killedUs)
  return {
    role: fault.role,
    also: fault.also?.role,
    landed: killed && flowing,
    normalMs: normalUs === undefined ? undefined : Math.round((normalUs - killedUs) / 1000),
  }
}

/** When the last late message arrived; undefined when some are still late after a minute. */
const untilNormal = async (stage: Stage, fromUs: number): Promise<number | undefined> => {
  const deadline = performance.now() + NORMAL_WITHIN_MS
  while (performance.now() < deadline) {
    const statuses = await stage.fleet.status()
    const quiet = statuses.every(
      ({ atUs, disconnected, lastLateUs, oldestDueUs = atUs }) =>
        disconnected === 0 &&
        atUs - oldestDueUs < LATE_US &&
        atUs - Math.max(lastLateUs, fromUs) > QUIET_US,
    )
    if (quiet) return Math.max(fromUs, ...statuses.map(({ lastLateUs }) => lastLateUs))
    await pause(WATCH_MS)
  }
  return undefined
}
