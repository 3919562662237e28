import { setTimeout as delay } from 'node:timers/promises'

/**
 * What must be well before a server counts as started: `all` is every stream and consumer recovered (one server);
 * `member` is the server's place in a cluster that has a leader; `alone` asks for neither, for a server of a cluster
 * whose others may be down.
 */
export type Health = 'all' | 'member' | 'alone'

const QUERY: Readonly<Record<Health, string>> = {
  all: '',
  member: '?js-meta-only=true',
  alone: '?js-enabled-only=true',
}

const POLL_MS = 20
const ANSWER_MS = 1_000

/** Waits until the server answers that it is healthy; throws what it answered last when the signal ends the wait. */
export const waitForHealth = async (
  monitorPort: number,
  health: Health,
  signal: AbortSignal,
): Promise<void> => {
  const url = `http://127.0.0.1:${monitorPort}/healthz${QUERY[health]}`
  let last = 'no answer yet'
  while (!signal.aborted) {
    try {
      const response = await fetch(url, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
        headers: { connection: 'close' },
      })
      const body = await response.text()
      if (response.ok) return
      last = body
    } catch (error) {
      if (!signal.aborted) last = error instanceof Error ? error.message : String(error)
    }
    await delay(POLL_MS, undefined, { signal }).catch(() => undefined)
  }
  throw new Error(`nats-server is not healthy at ${url}: ${last}`, { cause: signal.reason })
}
