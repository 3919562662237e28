/** The newest sequence known of each room, and who waits for more. Raised only once what it counts can be read. */
import type { RoomId } from '../ids.ts'
import { orAborted } from './time.ts'

export class Heads {
  readonly #heads = new Map<RoomId, number>()
  readonly #gone = new Set<RoomId>()
  readonly #waiting = new Map<RoomId, PromiseWithResolvers<void>>()

  of(room: RoomId): number {
    return this.#heads.get(room) ?? 0
  }

  raise(room: RoomId, seq: number): void {
    if (seq <= this.of(room)) return
    this.#heads.set(room, seq)
    this.#wake(room)
  }

  /** Nothing will follow, as far as is known: the user is no longer in the room. */
  leave(room: RoomId): void {
    this.#gone.add(room)
    this.#wake(room)
  }

  enter(room: RoomId): void {
    this.#gone.delete(room)
  }

  /** True once the head is `seq` or more; false when it won't be, because the user left. */
  async reaches(room: RoomId, seq: number, signal: AbortSignal): Promise<boolean> {
    while (this.of(room) < seq) {
      if (this.#gone.has(room)) return false
      let waiting = this.#waiting.get(room)
      if (waiting === undefined) {
        waiting = Promise.withResolvers()
        this.#waiting.set(room, waiting)
      }
      await orAborted(waiting.promise, signal)
    }
    return true
  }

  #wake(room: RoomId): void {
    this.#waiting.get(room)?.resolve()
    this.#waiting.delete(room)
  }
}
