/** What dies when: drawn from a seed, each kind in turn before any comes again. */
import { setTimeout as pause } from 'node:timers/promises'
import { isAlive } from '../../nats/orphan.ts'
import type { Server } from './server.ts'

export const FAULTS = {
  up: 'kill -9 of the up process; its nats-server lives on as an orphan',
  nats: 'kill -9 of nats-server; the up process starts another',
  all: 'kill -9 of both at once',
  drain: 'SIGTERM to the up process, which drains',
} as const
export type FaultKind = keyof typeof FAULTS
export const FAULT_KINDS = Object.keys(FAULTS) as FaultKind[]

export type Fault = {
  readonly kind: FaultKind
  /** It comes once this share of the text is acked, and so many ms later. */
  readonly atShare: number
  readonly afterMs: number
  /** ms until what was killed is started again. */
  readonly downMs: number
  /** ms after a restart begins, a kill -9 of nats-server into it. */
  readonly againMs: number | undefined
}

const AFTER_MS = 60
const DOWN_MS = 1_500
const AGAIN_MS = 2_500
/** One restart in so many is hit itself. */
const AGAIN_IN = 4
/** The first and the last lines are sent in peace. */
const FIRST_SHARE = 0.05
const LAST_SHARE = 0.85

export const drawFaults = (
  count: number,
  random: () => number,
  kinds: readonly FaultKind[] = FAULT_KINDS,
): Fault[] => {
  const shares = Array.from({ length: count }, () => FIRST_SHARE + random() * LAST_SHARE).sort(
    (a, b) => a - b,
  )
  let turn: FaultKind[] = []
  return shares.map((atShare) => {
    if (turn.length === 0) turn = [...kinds]
    const [kind] = turn.splice(Math.floor(random() * turn.length), 1) as [FaultKind]
    return {
      kind,
      atShare,
      afterMs: random() * AFTER_MS,
      downMs: random() * DOWN_MS,
      againMs: random() * AGAIN_IN < 1 ? random() * AGAIN_MS : undefined,
    }
  })
}

export type Strike = {
  /** What was to be hit lived. */
  readonly hit: boolean
  /** What else was not as it should be. */
  readonly problems: readonly string[]
}

/** Does it, and resolves when everything is served again. @throws Error when that does not come */
export const strike = async (server: Server, fault: Fault): Promise<Strike> => {
  const problems: string[] = []
  const { kind, downMs, againMs } = fault
  const nats = server.natsPid
  let hit = server.isAlive && nats !== undefined
  switch (kind) {
    case 'nats':
      hit = await server.killNats()
      break
    case 'all':
      hit = await server.killAll()
      break
    case 'up':
      hit = await server.kill()
      // Otherwise there is no orphan, and nothing is tested.
      if (nats === undefined || !isAlive(nats)) problems.push('nats-server went with its parent')
      break
    case 'drain': {
      const { code, signal } = await server.stop()
      if (code !== 0) problems.push(`the drain ended with ${code ?? signal}:\n${server.tail}`)
      if (server.natsPid !== undefined) problems.push('nats-server outlived a drain')
    }
  }
  if (kind !== 'nats') {
    await pause(downMs)
    const start = server.start()
    if (againMs !== undefined) {
      // What it hits, if anything, is up to the seed; the start must come through.
      await Promise.race([pause(againMs), start])
      await server.killNats()
    }
    await start
    if (kind === 'up' && nats !== undefined && nats !== server.natsPid && isAlive(nats)) {
      problems.push(`two nats-servers on one store: ${nats} and ${server.natsPid}`)
    }
  }
  await server.isBack()
  return { hit, problems }
}
