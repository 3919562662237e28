/** Who keeps the place of a device: itself, by a cursor, or the server, in a durable queue (contracts I5). */
import type { Test } from 'tap'

export const MODES = ['cursor', 'queue'] as const
export type Mode = (typeof MODES)[number]

const TITLES: Record<Mode, string> = {
  cursor: 'with devices that keep a cursor',
  queue: 'with devices that have durable queues',
}

/** The same tests with devices of either mode, one after the other; `tests` makes them. */
export const inEachMode = (t: Test, tests: (t: Test, mode: Mode) => Promise<void> | void): void => {
  for (const mode of MODES) t.test(TITLES[mode], async (t) => tests(t, mode))
}
