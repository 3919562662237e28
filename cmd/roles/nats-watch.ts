/** Whether NATS is there for a process that is nothing without it: for its log, and for those who ask if it is ready. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Nats } from '../../lib/bus/bus.ts'
import { systemClock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Service } from '../../lib/service.ts'

export type NatsWatch = Service & {
  /** Why NATS can't be counted on now, in words; undefined when it answers. */
  unready(): Promise<string | undefined>
}

const LOOK_MS = 1_000
/** Less than a probe waits for. */
const ANSWER_MS = 700

export const natsWatch = (nats: Pick<Nats, 'connected' | 'flush'>, log: Log): NatsWatch => {
  let timer: NodeJS.Timeout | undefined
  let lostAt: number | undefined
  let asking: Promise<boolean> | undefined

  const look = (): void => {
    const now = systemClock.monotonic()
    if (!nats.connected && lostAt === undefined) {
      lostAt = now
      log.warn({}, 'nats.lost')
    } else if (nats.connected && lostAt !== undefined) {
      log.info({ seconds: Math.round((now - lostAt) / 1000) }, 'nats.back')
      lostAt = undefined
    }
  }

  /** A connection whose other end has died is noticed by its own pings only after a while. */
  const answers = async (): Promise<boolean> => {
    const given = new AbortController()
    const late = delay(ANSWER_MS, false, { signal: given.signal })
    late.catch(() => undefined)
    const answered = nats.flush().then(
      () => true,
      () => false,
    )
    try {
      return await Promise.race([answered, late])
    } finally {
      given.abort()
      asking = undefined
    }
  }

  return {
    name: 'nats watch',
    start: async () => {
      timer = setInterval(look, LOOK_MS)
    },
    drain: async () => clearInterval(timer),
    unready: async () => {
      if (!nats.connected) return 'the connection to NATS is lost; it is tried again and again'
      asking ??= answers()
      return (await asking) ? undefined : 'NATS does not answer'
    },
  }
}
