/** Which process dies when: drawn from a seed, each role in turn before any comes again. */
import type { Random } from '../load/random.ts'
import type { Role } from '../servers/parley.ts'

export type Fault = {
  readonly role: Role
  /** ms of normal running before it. */
  readonly afterMs: number
  /** A second process that dies while the first is not back, so many ms later. */
  readonly also: { readonly role: Role; readonly afterMs: number } | undefined
}

const LEAST_MS = 300
const SPREAD_MS = 2000
const ALSO_SPREAD_MS = 1500
/** One fault in so many is a double one. */
const DOUBLE = 4

export const drawFaults = (count: number, roles: readonly Role[], random: Random): Fault[] => {
  const faults: Fault[] = []
  let turn: Role[] = []
  while (faults.length < count) {
    if (turn.length === 0) turn = shuffled(roles, random)
    const role = turn.pop()!
    const others = roles.filter((other) => other !== role)
    const doubled = others.length > 0 && random.below(DOUBLE) === 0
    faults.push({
      role,
      afterMs: LEAST_MS + random.below(SPREAD_MS),
      also: doubled
        ? { role: others[random.below(others.length)]!, afterMs: random.below(ALSO_SPREAD_MS) }
        : undefined,
    })
  }
  return faults
}

const shuffled = <T>(items: readonly T[], random: Random): T[] => {
  const mixed = [...items]
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    ;[mixed[i], mixed[j]] = [mixed[j]!, mixed[i]!]
  }
  return mixed
}
