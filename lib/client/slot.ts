/** A command on its way: what was stored of it, and how far it is in this process. */
import type { ParleyError } from '../errors.ts'
import { type Command, fromBase64 } from './command.ts'
import type { Acked, Item } from './saved.ts'

/** What a command led to: its place in the room's order, its message id, its time (ms). */
export type Ack = { readonly seq: number; readonly id: string; readonly time: number }

export type Slot = {
  readonly key: number
  readonly command: Command
  /** What comes of it is past `after` and below `before`: by the head that the app knew, and by acks of its neighbours. */
  after: number
  before: number
  numbers: { readonly lineage: number; readonly join: number; readonly n: number } | undefined
  tail: Uint8Array | undefined
  /** Its numbers are stored, so it may be sent. */
  stored: boolean
  /** Request number of the newest attempt, while that one has no reply. */
  req: number
  /** Attempts in this process. */
  attempts: number
  /** An earlier process may have sent it. */
  readonly restored: boolean
  /** `gone`: fails with the error unless the history has it. `unknown`: not sent unless the history has it. */
  doubt:
    | { readonly kind: 'gone'; readonly error: ParleyError }
    | { readonly kind: 'unknown' }
    | undefined
}

export const freshSlot = (item: Item): Slot => ({
  key: item.key,
  command: item.command,
  after: item.after,
  before: Number.POSITIVE_INFINITY,
  numbers: undefined,
  tail: undefined,
  stored: false,
  req: 0,
  attempts: 0,
  restored: false,
  doubt: undefined,
})

/** A slot of what an earlier process left; `acked` is the newest ack that the room gave it. */
export const restoredSlot = (item: Item, acked?: Acked): Slot => {
  const slot = freshSlot(item)
  if (acked !== undefined) {
    if (acked.key < item.key) slot.after = Math.max(slot.after, acked.seq)
    else slot.before = acked.seq
  }
  const { numbering } = item
  if (numbering === undefined) return slot
  const { lineage, join, n, tail } = numbering
  return {
    ...slot,
    numbers: { lineage, join, n },
    tail: fromBase64(tail),
    stored: true,
    restored: true,
  }
}
