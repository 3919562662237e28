/** The end of a run: what is missing is fetched, histories are read, and the invariants give their verdict. */
import { setTimeout as pause } from 'node:timers/promises'
import { ParleyError } from '../../lib/errors.ts'
import { EVENT_KINDS } from '../../lib/protocol/events.ts'
import { LIMITS } from '../../lib/protocol/frames.ts'
import type { Reader } from '../../lib/testing/invariants.ts'
import type { Device } from './device.ts'
import { inTurns } from './in-turns.ts'
import { Inbound, type SeenEvent } from './inbound.ts'
import type { Load } from './load.ts'
import type { Verdict } from './orders.ts'
import type { RoomView } from './room-view.ts'
import { laneIn, nIn, textAt } from './tag.ts'

const AT_ONCE = 8
const TRIES = 50
const AGAIN_MS = 100

export const judge = async (
  load: Load,
  { history, settled }: { history: boolean; settled: boolean },
): Promise<Verdict> => {
  await load.heal()
  if (history) await inTurns(load.devices, AT_ONCE, (device) => readAll(load, device))
  const { check } = load
  const { acked } = check
  const delivered = load.counters().delivered
  const words = check.finish({ settled }).slice(0, 20)
  return {
    acked,
    delivered,
    violations: check.counts,
    words: words.map(({ rule, where, what }) => `${rule}: ${where}: ${what}`),
    problems: load.problems,
    refusals: load.refusals,
    healed: load.healed,
    repeats: load.repeats,
    compared: load.compared,
    sessionsLost: load.closedSessions,
  }
}

const readAll = async (load: Load, device: Device): Promise<void> => {
  for (const view of device.views) {
    const reader = view.check.reader(`history of ${device.user.device}`, { strict: true })
    try {
      await readHistory(load, device, view, reader)
    } catch (error) {
      load.problem(`no history of ${view.room}: ${error instanceof Error ? error.message : error}`)
    }
  }
}

/** From the first to the newest event, as it is shown: each once, in order. */
const readHistory = async (
  load: Load,
  device: Device,
  view: RoomView,
  reader: Reader,
): Promise<void> => {
  let next = 1
  const pages = new Inbound({
    ack: () => {},
    event: (event) => {
      next = event.seq + 1
      show(load, reader, event)
    },
    other: (frame) => {
      if (frame.name !== 'skip') return
      next = frame.last + 1
      reader.skipped(frame.first, frame.last)
    },
    control: () => {},
  })
  for (;;) {
    const from = next
    const page = await patiently(() => {
      const { room } = view
      return device.ask('fetch', { room, from, limit: LIMITS.pageEvents, back: false })
    })
    if (page.name !== 'page') throw new Error(`a ${page.name} for a page`)
    for (const frame of page.events) pages.scan(frame)
    if (next > page.head) return
    if (next === from) throw new Error(`the page from ${from} is empty, the head is ${page.head}`)
  }
}

/** Again while the refusal is only for now. */
const patiently = async <T>(ask: () => Promise<T>): Promise<T> => {
  for (let tries = 1; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (tries === TRIES || !(error instanceof ParleyError && error.canRetry)) throw error
      await pause(Math.max(error.retryAfterMs, AGAIN_MS))
    }
  }
}

const show = (load: Load, reader: Reader, event: SeenEvent): void => {
  const { seq, high, low, bytes } = event
  const at = event.kind === EVENT_KINDS.message.number ? textAt(event) : undefined
  const lane = at === undefined ? undefined : load.lanes[laneIn(bytes, at)]
  if (at === undefined || lane === undefined) reader.sawParts(seq, high, low)
  else reader.sawParts(seq, high, low, lane.check, nIn(bytes, at))
  reader.time(seq, event.time)
}
