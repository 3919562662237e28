/**
 * A room as contracts N describe it, as plainly as can be: the measure for what the outbox does. Not the server's code.
 */
import type { ErrorCode } from '../../errors.ts'
import type { RoomId, UserId } from '../../ids.ts'
import { encodeFrame } from '../../protocol/codec.ts'
import { EVENT_KINDS } from '../../protocol/events.ts'
import type { NumberedFrame } from '../../protocol/frames.ts'
import { Writer } from '../../protocol/writer.ts'

export type ModelEvent = {
  readonly room: RoomId
  readonly seq: number
  readonly ord: number
  readonly id: bigint
  readonly time: number
  readonly sender: UserId
  readonly kind: number
  readonly body: Uint8Array
}
export type ModelAnswer =
  | { readonly ack: ModelEvent }
  | { readonly refused: ErrorCode; readonly detail?: string }

type Lineage = {
  last: number
  readonly outcomes: Map<number, { bytes: string; answer: ModelAnswer }>
}
export type ModelMember = {
  readonly join: number
  readonly lineages: Map<number, Lineage>
  evicted: number
}

/** Texts that start with this are refused for good. */
export const FORBIDDEN = 'forbidden:'

export class ModelRoom {
  readonly id: RoomId
  readonly events: ModelEvent[] = []
  readonly members = new Map<UserId, ModelMember>()
  /** The history keeps nothing below. */
  kept = 1

  constructor(id: RoomId) {
    this.id = id
  }

  get head(): number {
    return this.events.length
  }

  join(user: UserId, join = this.head): void {
    this.members.set(user, { join, lineages: new Map(), evicted: 0 })
  }

  /** Forgets lineages as if others had taken their place (contracts N4). */
  evict(user: UserId): void {
    const member = this.members.get(user)
    if (member === undefined) return
    for (const id of member.lineages.keys()) member.evicted = Math.max(member.evicted, id)
    member.lineages.clear()
  }

  /** Forgets outcomes, though they may be asked for again: more than the contract lets a room do. */
  forget(user: UserId): void {
    for (const { outcomes } of this.members.get(user)?.lineages.values() ?? []) outcomes.clear()
  }

  /** `bytes` are the frame's without the request number. */
  decide(user: UserId, frame: NumberedFrame, bytes: string): ModelAnswer {
    if (frame.low > frame.n || frame.n - frame.low >= 32) return { refused: 'bad_request' }
    if (frame.name === 'create' && this.head === 0) {
      this.join(user, 0)
      for (const other of frame.members) if (other !== user) this.join(other, 1)
    }
    const member = this.members.get(user)
    if (member === undefined) return { refused: 'not_member' }
    if (frame.join !== member.join) return { refused: 'stale_join' }
    let lineage = member.lineages.get(frame.lineage)
    if (lineage === undefined) {
      if (frame.n !== 1 || frame.lineage <= member.evicted) return { refused: 'unknown_lineage' }
      lineage = { last: 0, outcomes: new Map() }
      member.lineages.set(frame.lineage, lineage)
    }
    if (frame.n > lineage.last + 1) {
      return { refused: 'out_of_order', detail: String(lineage.last + 1) }
    }
    if (frame.n <= lineage.last) {
      const known = lineage.outcomes.get(frame.n)
      if (known === undefined) return { refused: 'settled' }
      return known.bytes === bytes ? known.answer : { refused: 'conflict' }
    }
    const answer = this.#accept(user, frame)
    lineage.last = frame.n
    lineage.outcomes.set(frame.n, { bytes, answer })
    for (const n of lineage.outcomes.keys()) if (n < frame.low) lineage.outcomes.delete(n)
    return answer
  }

  #accept(user: UserId, frame: NumberedFrame): ModelAnswer {
    switch (frame.name) {
      case 'send':
        if (frame.text.startsWith(FORBIDDEN)) return { refused: 'forbidden' }
        return { ack: this.say(user, frame.text) }
      case 'create': {
        const writer = new Writer().array(3).str(frame.title).bool(frame.openHistory)
        const users = [user, ...frame.members]
        writer.array(users.length)
        for (const [index, one] of users.entries())
          writer
            .array(2)
            .str(one)
            .uint(index ? 0 : 2)
        return { ack: this.#add(user, EVENT_KINDS.created.number, writer.take()) }
      }
      case 'add': {
        const writer = new Writer().array(1).array(frame.users.length)
        for (const one of frame.users) writer.str(one)
        const ack = this.#add(user, EVENT_KINDS.added.number, writer.take())
        for (const one of frame.users) this.join(one, ack.seq)
        return { ack }
      }
      case 'remove':
        return { ack: this.remove(user, frame.user) }
      case 'leave':
        this.members.delete(user)
        return {
          ack: this.#add(user, EVENT_KINDS.left.number, new Writer().array(1).str(user).take()),
        }
      case 'role': {
        const body = new Writer().array(2).str(frame.user).uint(frame.role).take()
        return { ack: this.#add(user, EVENT_KINDS.role.number, body) }
      }
    }
  }

  /** Of a `page` what the room says. */
  page(from: number, limit: number, back: boolean) {
    const { head, kept } = this
    const last = back ? Math.min(from || head, head) : Math.min(from + limit - 1, head)
    const first = back ? Math.max(1, last - limit + 1) : Math.max(1, from)
    const slice = this.events.slice(Math.max(first, kept) - 1, last)
    const events = slice.map((event) => encodeFrame('event', event))
    if (!back && first < kept && first <= head) {
      events.unshift(encodeFrame('skip', { room: this.id, first, last: kept - 1 }))
    }
    return { head, first: kept, events }
  }

  remove(by: UserId, user: UserId): ModelEvent {
    this.members.delete(user)
    return this.#add(by, EVENT_KINDS.removed.number, new Writer().array(1).str(user).take())
  }

  say(user: UserId, text: string): ModelEvent {
    return this.#add(user, EVENT_KINDS.message.number, new Writer().array(1).str(text).take())
  }

  #add(sender: UserId, kind: number, body: Uint8Array): ModelEvent {
    const seq = this.head + 1
    const counts = kind === EVENT_KINDS.message.number ? 1 : 0
    const ord = (this.events.at(-1)?.ord ?? 0) + counts
    const time = 1_700_000_000_000 + seq
    const id = (BigInt(seq) << 20n) + 1n
    const event = { room: this.id, seq, ord, id, time, sender, kind, body }
    this.events.push(event)
    return event
  }
}
