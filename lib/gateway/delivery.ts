/**
 * Writes frames to sessions: into their outboxes first, and at the end of the loop turn each outbox to its socket in
 * one WebSocket message: a small write costs ten times what its bytes cost in a large one (adr/0004).
 *
 * I1. A durable frame is written, or the session is ended as resumable. A droppable one is left out while the socket
 *     is choked.
 * I2. Frames that come between hello and welcome wait, and follow the welcome.
 */
import { FRAMES } from '../protocol/frames.ts'
import type { Session } from './session.ts'

const EARLY_BYTES = 256 * 1024

const DROPPABLE = new Set<number>(
  Object.values(FRAMES)
    .filter((frame) => frame.class === 'droppable')
    .map((frame) => frame.type),
)

/** By the type in its second byte: the server writes short arrays and small types in one byte each. */
const isDroppable = (frame: Uint8Array): boolean => DROPPABLE.has(frame[1]!)

export class Delivery {
  readonly stats = { framesOut: 0, messagesOut: 0, bytesOut: 0, dropped: 0 }
  readonly #schedule: () => void
  readonly #overflow: (session: Session) => void
  readonly #dirty: Session[] = []

  /** `schedule` asks for `flush` at the end of the loop turn; `overflow` ends a session that reads too slowly. */
  constructor(schedule: () => void, overflow: (session: Session) => void) {
    this.#schedule = schedule
    this.#overflow = overflow
  }

  /** A frame of the cluster for a session, by its state. */
  deliver(session: Session, frame: Uint8Array): void {
    if (session.state === 'open') this.push(session, frame)
    else if (session.state === 'asking') this.#early(session, frame)
  }

  /** A frame for a session whatever its state, unless it is closed. */
  push(session: Session, frame: Uint8Array): void {
    if (session.state === 'closed') return
    const { outbox } = session
    if (outbox.choked && isDroppable(frame)) {
      this.stats.dropped++
      return
    }
    if (!outbox.push(frame) && !this.#makeRoom(session, frame)) {
      this.#overflow(session)
      return
    }
    this.stats.framesOut++
    if (!session.dirty && !outbox.choked) {
      session.dirty = true
      if (this.#dirty.push(session) === 1) this.#schedule()
    }
  }

  /** More than the bound in one loop turn is no fault of a client that reads: what waits is written before its time. */
  #makeRoom(session: Session, frame: Uint8Array): boolean {
    if (session.outbox.choked) return false
    this.#send(session)
    return session.state !== 'closed' && session.outbox.push(frame)
  }

  /** Past the bound the frames are lost, as if the live path had lost them: pointers tell of them (contracts R3). */
  #early(session: Session, frame: Uint8Array): void {
    if (session.earlyBytes + frame.length > EARLY_BYTES) return
    session.early ??= []
    session.early.push(frame.slice())
    session.earlyBytes += frame.length
  }

  /** Lets the frames follow that waited for the welcome. */
  release(session: Session): void {
    const { early } = session
    session.early = undefined
    session.earlyBytes = 0
    if (early !== undefined) for (const frame of early) this.push(session, frame)
  }

  flush(): void {
    const dirty = this.#dirty
    for (let i = 0; i < dirty.length; i++) this.write(dirty[i]!)
    dirty.length = 0
  }

  /** Gives what waits to the socket, unless that is choked. */
  write(session: Session): void {
    session.dirty = false
    this.#send(session)
  }

  #send(session: Session): void {
    const { outbox } = session
    if (session.state === 'closed' || outbox.choked) return
    const bytes = outbox.view()
    if (bytes === undefined) return
    this.stats.messagesOut++
    this.stats.bytesOut += bytes.length
    const result = session.socket.send(bytes, true)
    outbox.clear()
    if (result === 1) return
    if (result === 0) outbox.choked = true
    else this.#overflow(session)
  }

  /** Writes what a session that is being ended still gets, its state notwithstanding. */
  finish(session: Session, frame: Uint8Array | undefined): void {
    const { outbox, socket } = session
    if (frame !== undefined) outbox.push(frame)
    const bytes = outbox.choked ? undefined : outbox.view()
    if (bytes !== undefined) socket.send(bytes, true)
    outbox.clear()
  }

  /** The socket wrote what it had kept back. */
  drained(session: Session): void {
    if (session.state === 'closed' || session.socket.getBufferedAmount() > 0) return
    session.outbox.choked = false
    this.write(session)
  }
}
