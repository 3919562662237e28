/** Frames that are written in one loop turn leave together, in as few WebSocket messages as the limit lets (contracts W1). */
import { LIMITS } from '../protocol/frames.ts'
import { Writer } from '../protocol/writer.ts'

export class Outgoing {
  readonly #writer = new Writer(4096)
  readonly #send: (message: Uint8Array) => void
  #scheduled = false

  constructor(send: (message: Uint8Array) => void) {
    this.#send = send
  }

  push(frame: Uint8Array): void {
    if (this.#writer.length + frame.length > LIMITS.message) this.flush()
    this.#writer.raw(frame)
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.flush()
    })
  }

  flush(): void {
    if (this.#writer.length > 0) this.#send(this.#writer.take())
  }

  /** Forgets what has not left: the connection is gone. */
  clear(): void {
    this.#writer.reset()
  }
}
