/** The least that a gateway can do: for each message an ack to its sender and a frame to the other side of the pair. */
import {
  App,
  DISABLED,
  type us_listen_socket,
  us_socket_local_port,
  type WebSocket,
} from 'uWebSockets.js'
import type { Part } from './part.ts'
import { ACK_BYTES, MESSAGE_BYTES } from './probe.ts'

/** Connections in the order in which they came: 0 and 1 are a pair, 2 and 3 … */
type Seat = { index: number; waiting: number; bytes: Uint8Array }

const WAITING_BYTES = 64 * 1024

export const serveEcho = async (): Promise<Part> => {
  const sockets: (WebSocket<Seat> | undefined)[] = []
  const dirty = new Set<WebSocket<Seat>>()
  let count = 0
  const flush = (): void => {
    for (const socket of dirty) {
      const seat = socket.getUserData()
      socket.send(seat.bytes.subarray(0, seat.waiting), true)
      seat.waiting = 0
    }
    dirty.clear()
  }
  /** All that a socket gets in a turn is one write, as in a real gateway. */
  const push = (socket: WebSocket<Seat>, from: Uint8Array, size: number): void => {
    const seat = socket.getUserData()
    if (seat.waiting + size > WAITING_BYTES) return
    seat.bytes.set(from.length === size ? from : from.subarray(0, size), seat.waiting)
    seat.waiting += size
    if (dirty.size === 0) setImmediate(flush)
    dirty.add(socket)
  }
  const { promise, resolve, reject } = Promise.withResolvers<us_listen_socket>()
  App()
    .ws<Seat>('/*', {
      compression: DISABLED,
      upgrade: (res, req, context) => {
        const seat = { index: -1, waiting: 0, bytes: new Uint8Array(WAITING_BYTES) }
        res.upgrade(seat, req.getHeader('sec-websocket-key'), '', '', context)
      },
      open: (socket) => {
        socket.getUserData().index = sockets.push(socket) - 1
      },
      close: (socket) => {
        sockets[socket.getUserData().index] = undefined
        dirty.delete(socket)
      },
      message: (socket, message) => {
        count++
        const bytes = new Uint8Array(message)
        const other = sockets[socket.getUserData().index ^ 1]
        push(socket, bytes, ACK_BYTES)
        if (other !== undefined) push(other, bytes, MESSAGE_BYTES)
      },
    })
    .listen('127.0.0.1', 0, (listening) => {
      if (listening === false) reject(new Error('no port'))
      else resolve(listening)
    })
  const port = us_socket_local_port(await promise)
  return {
    port,
    start: () => {
      count = 0
    },
    stop: () => ({ count, p50Us: 0 }),
  }
}
