/**
 * Between an outbox and model rooms: a network and a gateway that lose, double, delay and refuse. Requests reach their
 * room in any attempt's copy, also long after; replies come, or the session is cut before they do.
 */
import { ERRORS, type ErrorCode } from '../../errors.ts'
import type { RoomId, UserId } from '../../ids.ts'
import { readFrames } from '../../protocol/codec.ts'
import type { NumberedFrame } from '../../protocol/frames.ts'
import { Reader } from '../../protocol/reader.ts'
import { toBase64 } from '../command.ts'
import type { Link } from '../connection.ts'
import type { Done, Reply } from '../requests.ts'
import { type ModelAnswer, ModelRoom } from './model-room.ts'

export const FATES = [
  'pass',
  'lose',
  'mute',
  'double',
  'late',
  'overloaded',
  'unavailable',
] as const
/** What happens to a request: `lose` never arrives, `mute` arrives but its reply doesn't, `late` arrives in the next session. */
export type Fate = (typeof FATES)[number]

type Copy = { readonly frame: NumberedFrame; readonly bytes: string }

export class ModelLink implements Link {
  readonly rooms = new Map<RoomId, ModelRoom>()
  readonly #me: UserId
  readonly #fate: () => Fate
  inSession = false
  #req = 0
  #queue: { req: number; copy: Copy; done: Done }[] = []
  #unanswered = new Map<number, Done>()
  /** Copies that will still arrive, some time. */
  #late: Copy[] = []
  sent = 0

  constructor(me: UserId, fate: () => Fate) {
    this.#me = me
    this.#fate = fate
  }

  room(id: RoomId): ModelRoom {
    let room = this.rooms.get(id)
    if (room === undefined) {
      room = new ModelRoom(id)
      this.rooms.set(id, room)
    }
    return room
  }

  request(encode: (req: number) => Uint8Array, done: Done): number {
    if (!this.inSession) {
      done({ name: 'lost' })
      return 0
    }
    const req = ++this.#req
    const bytes = encode(req)
    const [frame] = readFrames(bytes)
    if (frame?.name === undefined || !('lineage' in frame) || !('n' in frame)) {
      throw new Error('the outbox sent no command')
    }
    const reader = new Reader(bytes)
    reader.array()
    reader.uint()
    reader.uint()
    this.sent++
    this.#queue.push({ req, copy: { frame, bytes: toBase64(bytes.subarray(reader.at)) }, done })
    return req
  }

  /** Lets what was sent arrive, in order. */
  deliver(): void {
    const queue = this.#queue
    this.#queue = []
    for (const { req, copy, done } of queue) {
      const fate = this.#fate()
      if (fate === 'overloaded' || fate === 'unavailable') {
        done(replyOf(req, { refused: fate }, 20))
        continue
      }
      if (fate === 'late') this.#late.push(copy)
      if (fate === 'lose' || fate === 'late') {
        this.#unanswered.set(req, done)
        continue
      }
      const answer = this.#decide(copy)
      if (fate === 'double') this.#late.push(copy)
      if (fate === 'mute') this.#unanswered.set(req, done)
      else done(replyOf(req, answer))
    }
  }

  #decide({ frame, bytes }: Copy): ModelAnswer {
    return this.room(frame.room).decide(this.#me, frame, bytes)
  }

  /** Late copies arrive; nobody hears their answers. */
  arriveLate(): void {
    const late = this.#late
    this.#late = []
    for (const copy of late) this.#decide(copy)
  }

  cut(): void {
    this.inSession = false
    const lost = [...this.#queue.map(({ done }) => done), ...this.#unanswered.values()]
    this.#queue = []
    this.#unanswered.clear()
    for (const done of lost) done({ name: 'lost' })
  }
}

const replyOf = (req: number, answer: ModelAnswer, retryAfter = 0): Reply => {
  if ('ack' in answer) {
    const { seq, id, time } = answer.ack
    return { name: 'ack', req, seq, id, time }
  }
  const code: ErrorCode = answer.refused
  const { number, temporary } = ERRORS[code]
  return { name: 'error', req, code: number, temporary, retryAfter, detail: answer.detail ?? '' }
}
