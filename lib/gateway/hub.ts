/**
 * The gateway's table of sessions. A handle is slot + generation × 2^20; the generation of a slot rises with every
 * session in it, so a handle is never inherited (contracts R1).
 */
import type { Handle } from '../protocol/envelopes.ts'
import { Outbox, Pool } from './outbox.ts'
import { Session, type Socket } from './session.ts'

const SLOTS = 2 ** 20

export class Hub {
  readonly #sessions: (Session | undefined)[] = []
  readonly #generations: number[] = []
  readonly #free: number[] = []
  readonly #pool = new Pool()
  readonly #max: number
  readonly #outboxBytes: number
  count = 0

  constructor(maxSessions: number, outboxBytes: number) {
    this.#max = Math.min(maxSessions, SLOTS)
    this.#outboxBytes = outboxBytes
  }

  get full(): boolean {
    return this.count >= this.#max
  }

  /** Slots ever used: bounds a scan with `at`. */
  get slots(): number {
    return this.#sessions.length
  }

  at(slot: number): Session | undefined {
    return this.#sessions[slot]
  }

  open(socket: Socket, address: string, now: number): Session {
    const slot = this.#free.pop() ?? this.#sessions.length
    const generation = (this.#generations[slot] ?? 0) + 1
    this.#generations[slot] = generation
    const outbox = new Outbox(this.#pool, this.#outboxBytes)
    const session = new Session(slot + generation * SLOTS, socket, address, outbox, now)
    this.#sessions[slot] = session
    this.count++
    return session
  }

  /** The session of a handle, if it is still that one. */
  get(handle: Handle): Session | undefined {
    const session = this.#sessions[handle & (SLOTS - 1)]
    return session !== undefined && session.handle === handle ? session : undefined
  }

  remove(session: Session): void {
    const slot = session.handle & (SLOTS - 1)
    if (this.#sessions[slot] !== session) return
    this.#sessions[slot] = undefined
    this.#free.push(slot)
    this.count--
    session.outbox.clear()
  }
}
