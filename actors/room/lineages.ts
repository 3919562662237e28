/**
 * Exactly once, in order (contracts N1–N4): what one user's outboxes have had decided in one stay in a room.
 *
 * - The numbers of a lineage are decided one after the other, so its kept outcomes are those of
 *   `last` − length + 1 … `last`.
 * - An outcome never changes; it goes when its command is settled (`low`), or as the oldest of too many.
 */
import type { Answer, RoomCommand } from '../../lib/actor/behavior.ts'
import { errorByNumber, refuse } from '../../lib/errors.ts'
import { LIMITS } from '../../lib/protocol/frames.ts'

/** Contracts N4 and N2. */
export const LINEAGES_KEPT = 16
export const OUTCOMES_KEPT = 64

/** A command that a lineage numbers. */
export type Numbered = Extract<RoomCommand, { n: number }>

/** An ack (code 0), or a refusal for good (seq, id and time 0). */
export type Outcome = {
  readonly hash: number
  readonly seq: number
  readonly id: bigint
  readonly time: number
  /** Number of the error. */
  readonly code: number
}

export type Lineage = {
  last: number
  /** `uses` when it was last used. */
  used: number
  readonly outcomes: Outcome[]
}

export type Lineages = {
  readonly byId: Map<number, Lineage>
  /** Highest lineage id that was let go. */
  evicted: number
  /** Commands decided: the clock by which the least used one is told. */
  uses: number
}

export const newLineages = (): Lineages => ({ byId: new Map(), evicted: 0, uses: 0 })

export const refused = (code: Parameters<typeof refuse>[0], detail?: string): Answer => ({
  kind: 'refused',
  refusal: refuse(code, detail),
})

/** True for numbers that no client may send, whatever the room holds: such a command can never be accepted. */
export const isNonsense = (command: Numbered): boolean =>
  command.lineage === 0 ||
  command.low === 0 ||
  command.low > command.n ||
  command.n - command.low >= LIMITS.pipeline

const outcomeOf = (lineage: Lineage, command: Numbered): Answer => {
  const kept = lineage.outcomes[command.n - lineage.last - 1 + lineage.outcomes.length]
  if (kept === undefined) return refused('settled')
  if (kept.hash !== command.hash) return refused('conflict')
  if (kept.code !== 0) return refused(errorByNumber(kept.code))
  return { kind: 'ack', seq: kept.seq, id: kept.id, time: kept.time }
}

/** What was answered, or must be answered, to a command that is not the next; undefined for the next (N3, N4). */
export const standing = (lineages: Lineages, command: Numbered): Answer | undefined => {
  const lineage = lineages.byId.get(command.lineage)
  if (lineage === undefined) {
    if (command.lineage <= lineages.evicted) return refused('unknown_lineage')
    if (command.n === 1) return undefined
    // Nothing of it was ever settled, so its first command has not come yet (or was refused for now): adr/0006.
    return command.low === 1 ? refused('out_of_order', '1') : refused('unknown_lineage')
  }
  if (command.n === lineage.last + 1) return undefined
  if (command.n > lineage.last) return refused('out_of_order', String(lineage.last + 1))
  return outcomeOf(lineage, command)
}

/** The same for a stay that is over: undefined for whatever was not decided in it. */
export const decidedIn = (lineages: Lineages, command: Numbered): Answer | undefined => {
  const lineage = lineages.byId.get(command.lineage)
  if (lineage === undefined) {
    return command.lineage <= lineages.evicted ? refused('unknown_lineage') : undefined
  }
  return command.n <= lineage.last ? outcomeOf(lineage, command) : undefined
}

const forget = (lineages: Lineages, id: number): void => {
  lineages.byId.delete(id)
  if (id > lineages.evicted) lineages.evicted = id
}

const evictLeastUsed = (lineages: Lineages): void => {
  let least = 0
  let used = Number.POSITIVE_INFINITY
  for (const [id, lineage] of lineages.byId) {
    if (lineage.used < used) {
      used = lineage.used
      least = id
    }
  }
  forget(lineages, least)
}

/** Notes a decided command. `low`: outcomes below it are not asked for again. */
export const note = (
  lineages: Lineages,
  id: number,
  n: number,
  low: number,
  outcome: Outcome,
): void => {
  let lineage = lineages.byId.get(id)
  if (lineage === undefined) {
    if (lineages.byId.size >= LINEAGES_KEPT) evictLeastUsed(lineages)
    lineage = { last: 0, used: 0, outcomes: [] }
    lineages.byId.set(id, lineage)
  }
  const { outcomes } = lineage
  lineage.last = n
  lineage.used = ++lineages.uses
  outcomes.push(outcome)
  while (outcomes.length > OUTCOMES_KEPT || n - outcomes.length + 1 < low) outcomes.shift()
}

/** Lets all go; what they were is told from what they were not by the highest id. */
export const forgetAll = (lineages: Lineages): void => {
  for (const id of [...lineages.byId.keys()]) forget(lineages, id)
}
