import { setTimeout as delay } from 'node:timers/promises'

/** Only a failure takes so long; a machine with other work must not look like one. */
const WITHIN_MS = 20_000
const EVERY_MS = 10

/**
 * Waits until `check` returns something other than false, undefined or null, and returns that. A check that throws counts as
 * not yet true. The error after `within` ms names what is missing and holds what the last check threw.
 *
 * @example const room = await eventually('the room has two members', () => members.size === 2 && room)
 */
export const eventually = async <T>(
  what: string,
  check: () => T | Promise<T>,
  { within = WITHIN_MS, every = EVERY_MS }: { within?: number; every?: number } = {},
): Promise<Exclude<T, false | undefined | null>> => {
  const deadline = performance.now() + within
  let last: unknown
  for (;;) {
    try {
      last = undefined
      const value = await beforeDeadline(check, deadline)
      if (value !== false && value !== undefined && value !== null) {
        return value as Exclude<T, false | undefined | null>
      }
      last = new Error(`the check answered ${value}`)
    } catch (error) {
      last = error
    }
    if (performance.now() >= deadline) {
      const reason = last instanceof Error ? last.message : String(last)
      throw new Error(`not within ${within} ms: ${what} (${reason})`, { cause: last })
    }
    await delay(every)
  }
}

/** A check that never answers must not outlast the deadline. */
const beforeDeadline = async <T>(check: () => T | Promise<T>, deadline: number): Promise<T> => {
  const result = check()
  if (!(result instanceof Promise)) return result
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new Error('the check gave no answer')),
    Math.max(0, deadline - performance.now()),
  )
  try {
    return await Promise.race([result, promise])
  } finally {
    clearTimeout(timer)
  }
}
