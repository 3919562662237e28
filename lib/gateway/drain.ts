/**
 * Sends all sessions elsewhere: `goaway` to everybody at once, then closes them spread over a time, those without
 * outstanding commands first, so that the other gateways are not stormed.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import type { Hub } from './hub.ts'
import type { Session } from './session.ts'

const STEP_MS = 50
/** What is left of the time when the last session is gone: the gateway still takes its entry away. */
const LEAVE_MS = 500

export type DrainDeps = {
  readonly hub: Hub
  readonly clock: Clock
  readonly spreadMs: number
  /** Tells a session to go; ends it when it isn't open. */
  readonly goaway: (session: Session) => void
  readonly end: (session: Session) => void
}

/** Resolves when no session is left, and somewhat before `deadline` (monotonic ms) whatever is left. */
export const drainSessions = async (deps: DrainDeps, deadline: number): Promise<void> => {
  const { hub, clock, goaway, end } = deps
  for (let slot = 0; slot < hub.slots; slot++) {
    const session = hub.at(slot)
    if (session !== undefined) goaway(session)
  }
  const start = clock.monotonic()
  const until = deadline - Math.min(LEAVE_MS, Math.max(0, deadline - start) / 4)
  const spread = Math.max(0, Math.min(deps.spreadMs, until - STEP_MS - start))
  const total = hub.count
  while (hub.count > 0) {
    const elapsed = clock.monotonic() - start
    const over = elapsed >= spread
    const mayStay = over ? 0 : Math.ceil(total * (1 - elapsed / spread))
    endUntil(hub, mayStay, end, false)
    // Commands under way are waited for, but not past the deadline.
    if (clock.monotonic() >= until - STEP_MS) endUntil(hub, 0, end, true)
    if (hub.count > 0) await delay(STEP_MS)
    if (clock.monotonic() >= until) return
  }
}

const endUntil = (hub: Hub, mayStay: number, end: (s: Session) => void, all: boolean): void => {
  for (let slot = 0; slot < hub.slots && hub.count > mayStay; slot++) {
    const session = hub.at(slot)
    if (session !== undefined && (all || session.inFlight === 0)) end(session)
  }
}
