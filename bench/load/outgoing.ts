/**
 * Bytes on their way to sockets: one buffer for the whole process, lent to one connection after the other, so that
 * all that a connection has to say in a turn is one write and nothing is allocated per message.
 */
import type { Socket } from 'node:net'

const SIZE = 1024 * 1024

export class Outgoing {
  #buffer = Buffer.allocUnsafeSlow(SIZE)
  #at = 0
  #socket: Socket | undefined

  /** Room for `size` bytes to this socket; write from `at` on, then `advance`. */
  lend(socket: Socket, size: number): Uint8Array {
    if (this.#socket !== socket || this.#at + size > SIZE) {
      this.flush()
      this.#socket = socket
    }
    return this.#buffer
  }

  get at(): number {
    return this.#at
  }

  advance(to: number): void {
    this.#at = to
  }

  /** Gives what was written to the socket. Call it at the end of every turn that may have written. */
  flush(): void {
    const socket = this.#socket
    if (socket === undefined || this.#at === 0) return
    const bytes = this.#buffer.subarray(0, this.#at)
    this.#at = 0
    this.#socket = undefined
    if (socket.destroyed) return
    socket.write(bytes)
    // The kernel did not take all of it: the socket keeps the buffer until it has.
    if (socket.writableLength > 0) this.#buffer = Buffer.allocUnsafeSlow(SIZE)
  }
}
