/**
 * All devices, rooms and lanes of one generator process: sets them up by the protocol, loads them in a closed or open
 * loop, measures windows, and judges what was seen. A room never spans processes, so each one judges its own whole.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { isDm } from '../../lib/ids.ts'
import { EVENT_KINDS } from '../../lib/protocol/events.ts'
import { LIMITS } from '../../lib/protocol/frames.ts'
import { Invariants } from '../../lib/testing/invariants.ts'
import { Histogram } from '../measure/histogram.ts'
import { nowUs } from './clock.ts'
import { outgoing } from './connection.ts'
import { Device } from './device.ts'
import { inTurns } from './in-turns.ts'
import type { SeenEvent } from './inbound.ts'
import type { Lane } from './lane.ts'
import { Metronome } from './metronome.ts'
import type { Counters, Status } from './orders.ts'
import type { LoadPlan, Pace } from './plan.ts'
import { Random } from './random.ts'
import type { RoomView } from './room-view.ts'
import { openRooms } from './rooms.ts'
import { dueIn, laneIn, nIn, TAG_BYTES, textAt, textOf } from './tag.ts'

const MESSAGE = EVENT_KINDS.message.number
const CONNECT_AT_ONCE = 64
/** A message that took longer than this marks the system as not normal. */
const LATE_US = 500_000
const SET_UP_MS = 60_000
const PROBLEMS_KEPT = 20

export class Load {
  readonly plan: LoadPlan
  readonly check = new Invariants()
  readonly random: Random
  readonly devices: Device[]
  readonly lanes: Lane[] = []
  readonly problems: string[] = []
  readonly refusals: Record<string, number> = {}
  readonly ackUs = new Histogram()
  readonly deliveryUs = new Histogram()
  /** How late sends left, against their schedule. */
  readonly lagUs = new Histogram()
  closedLoop = false
  healed = 0
  closedSessions = 0
  /** When something last arrived that was late, µs. */
  lastLateUs = 0
  /** Sends that were due in the window. */
  dueInWindow = 0
  /** Texts compared in full. */
  compared = 0
  readonly #owners: Device[] = []
  readonly #views: RoomView[] = []
  readonly #text: Uint8Array
  readonly #metronome = new Metronome()
  #acked = 0
  #delivered = 0
  #due = 0
  #from = Number.POSITIVE_INFINITY
  #to = Number.POSITIVE_INFINITY

  constructor(plan: LoadPlan) {
    this.plan = plan
    this.random = new Random(plan.seed)
    this.#text = Buffer.from(textOf(plan.textBytes))
    this.devices = plan.users.map((user, i) => {
      const source = plan.sources.length === 0 ? undefined : plan.sources[i % plan.sources.length]
      return new Device(this, user, source)
    })
  }

  /** Connects everyone, makes the rooms, and sends one message by each lane. */
  async setUp(): Promise<void> {
    await inTurns(this.devices, CONNECT_AT_ONCE, (device) => device.open())
    await openRooms(this, this.plan.rooms)
    for (const lane of this.lanes) this.#owners[lane.index]!.submit(lane, this.#dueNow())
    outgoing.flush()
    if (!(await this.settle(SET_UP_MS))) this.problem('the rooms were not made in time')
    this.healed = 0
  }

  addLane(lane: Lane, owner: Device): void {
    this.lanes.push(lane)
    this.#owners[lane.index] = owner
    owner.lanes.push(lane)
  }

  addView(view: RoomView, owner: Device): void {
    this.#views.push(view)
    owner.join(view)
  }

  problem(what: string): void {
    if (this.problems.length < PROBLEMS_KEPT) this.problems.push(what)
  }

  refused(code: string): void {
    this.refusals[code] = (this.refusals[code] ?? 0) + 1
  }

  #dueNow(): number {
    this.#due++
    return nowUs()
  }

  go(pace: Pace): void {
    if (pace.kind === 'closed') {
      this.closedLoop = true
      for (const lane of this.lanes) {
        lane.window = pace.window
        this.#owners[lane.index]!.pump(lane)
        outgoing.flush()
      }
      return
    }
    for (const lane of this.lanes) lane.window = LIMITS.pipeline
    this.#goOpen(pace.rate)
  }

  /** Times are drawn ahead of what happens: a slow server delays no send, it only makes it late. */
  #goOpen(rate: number): void {
    const meanUs = 1e6 / rate
    let due = nowUs() + this.random.gap(meanUs)
    this.#metronome.start(due, () => {
      const now = nowUs()
      while (due <= now) {
        const lane = this.lanes[this.random.below(this.lanes.length)]!
        this.#countDue(due)
        this.lagUs.record(now - due)
        this.#owners[lane.index]!.submit(lane, due)
        due += this.random.gap(meanUs)
      }
      outgoing.flush()
      return due
    })
  }

  /** A send left for the first time. */
  started(dueUs: number): void {
    if (this.closedLoop) this.#countDue(dueUs)
  }

  #countDue(dueUs: number): void {
    this.#due++
    if (dueUs >= this.#from && dueUs < this.#to) this.dueInWindow++
  }

  acked(dueUs: number): void {
    this.#acked++
    const took = nowUs() - dueUs
    if (took > LATE_US) this.lastLateUs = nowUs()
    if (dueUs >= this.#from && dueUs < this.#to) this.ackUs.record(took)
  }

  /** An event reached a device; true when it was new to it. */
  saw(view: RoomView, event: SeenEvent): boolean {
    const { bytes, seq, high, low } = event
    if (event.kind !== MESSAGE) {
      // The making of a dm is nobody's command.
      if (isDm(view.room)) view.check.foreign(seq)
      return view.reader.sawParts(seq, high, low)
    }
    const at = textAt(event)
    const lane = at === undefined ? undefined : this.lanes[laneIn(bytes, at)]
    if (at === undefined || lane === undefined || lane.room !== view.room) {
      this.problem(`sequence ${seq} of ${view.room} holds a text of nobody`)
      return false
    }
    if (!view.reader.sawParts(seq, high, low, lane.check, nIn(bytes, at))) return false
    if (this.plan.verify === 'full' || (low & 63) === 0) this.#compare(lane, event, at)
    this.#delivered++
    const dueUs = dueIn(bytes, at)
    const took = nowUs() - dueUs
    if (took > LATE_US) this.lastLateUs = nowUs()
    if (dueUs >= this.#from && dueUs < this.#to) this.deliveryUs.record(took)
    return true
  }

  #compare(lane: Lane, event: SeenEvent, at: number): void {
    const { bytes, bodyEnd, senderAt, senderEnd } = event
    this.compared++
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + at, bodyEnd - at)
    const same = text.length === this.#text.length
    if (!same || text.compare(this.#text, TAG_BYTES, undefined, TAG_BYTES) !== 0) {
      this.problem(`sequence ${event.seq} of ${lane.room} holds another text than was sent`)
    }
    const sender = Buffer.from(bytes.subarray(senderAt, senderEnd)).toString('latin1')
    const { user } = this.#owners[lane.index]!.user
    if (sender !== user) this.problem(`sequence ${event.seq} of ${lane.room} is by ${sender}`)
  }

  counters(): Counters {
    const { user, system } = process.cpuUsage()
    return {
      atUs: nowUs(),
      acked: this.#acked,
      delivered: this.#delivered,
      cpuUs: user + system,
      open: this.#due - this.#acked,
    }
  }

  /** Sends due from now on are measured. */
  openWindow(): void {
    for (const histogram of [this.ackUs, this.deliveryUs, this.lagUs]) histogram.reset()
    this.dueInWindow = 0
    this.#from = nowUs()
    this.#to = Number.POSITIVE_INFINITY
  }

  /** Sends due from now on are not; those due before are, when they complete. */
  shutWindow(): void {
    this.#to = nowUs()
  }

  /** No new sends; true when all that were due are done within `withinMs`; otherwise what waits is dropped. */
  async stop(withinMs: number): Promise<boolean> {
    this.#metronome.stop()
    this.closedLoop = false
    if (await this.settle(withinMs)) return true
    for (const lane of this.lanes) this.#due -= lane.dropWaiting()
    await this.settle(withinMs)
    return false
  }

  /** Waits until every lane is idle and every device has every event. */
  async settle(withinMs: number): Promise<boolean> {
    const deadline = nowUs() + withinMs * 1000
    while (nowUs() < deadline) {
      if (this.lanes.every((lane) => lane.idle) && this.#missing() === undefined) return true
      await pause(10)
    }
    return false
  }

  #missing(): RoomView | undefined {
    return this.#views.find((view) => view.reader.missing() !== undefined)
  }

  /** Asks by `fetch` for what the live path did not bring and no device noticed. */
  async heal(): Promise<void> {
    for (const device of this.devices) {
      for (const view of device.views) {
        for (let hole = view.reader.missing(); hole !== undefined && device.isOpen; ) {
          const { first } = hole
          await device.fetch(view, first)
          hole = view.reader.missing()
          if (hole?.first === first) break
          this.healed += (hole?.first ?? view.head + 1) - first
        }
      }
    }
  }

  status(): Status {
    let oldestDueUs: number | undefined
    for (const { oldestDue } of this.lanes) {
      if (oldestDue !== undefined) oldestDueUs = Math.min(oldestDue, oldestDueUs ?? oldestDue)
    }
    const disconnected = this.devices.filter((device) => !device.isOpen).length
    const { lastLateUs } = this
    return { atUs: nowUs(), acked: this.#acked, disconnected, lastLateUs, oldestDueUs }
  }

  /** Events that a device got again. */
  get repeats(): number {
    return this.#views.reduce((sum, view) => sum + view.reader.repeats, 0)
  }

  async end(): Promise<void> {
    for (const device of this.devices) device.end()
    await this.#metronome.end()
  }
}
