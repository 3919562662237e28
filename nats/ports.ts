import { createServer } from 'node:net'

/**
 * Below the ranges from which Linux and macOS take the ports of outgoing connections. A server that must come back on
 * its port after a kill would otherwise lose it to a client's connection; a client that retries a dead port of that
 * range may even connect to itself.
 */
const FIRST = 18_000
const COUNT = 14_000
const TRIES = 200

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () =>
      probe.close(() => resolve(true)),
    )
  })

/** `count` different loopback ports that nothing listens on now. */
export const freePorts = async (count: number): Promise<number[]> => {
  const found = new Set<number>()
  for (let tries = 0; found.size < count; tries++) {
    if (tries > TRIES + count)
      throw new Error(`no ${count} free ports from ${FIRST} to ${FIRST + COUNT}`)
    const port = FIRST + Math.floor(Math.random() * COUNT)
    if (!found.has(port) && (await isFree(port))) found.add(port)
  }
  return [...found]
}

/** A loopback port that nothing listens on now. */
export const freePort = async (): Promise<number> => (await freePorts(1))[0]!
