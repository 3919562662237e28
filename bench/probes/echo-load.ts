/** Clients of the echo probe: pairs of raw sockets in a closed loop, or one message at a time. */
import { connect, type Socket } from 'node:net'
import { nowUs } from '../load/clock.ts'
import { newKey, upgradeRequest, writeHeader } from '../load/websocket.ts'
import { Histogram } from '../measure/histogram.ts'
import { ACK_BYTES, MESSAGE_BYTES } from './probe.ts'

const HOST = '127.0.0.1'
const READY_MS = 10_000

const openOne = async (port: number, read: (bytes: Buffer) => void): Promise<Socket> => {
  const socket = connect({ host: HOST, port, noDelay: true })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('connect', () => socket.write(upgradeRequest(HOST, port, newKey())))
  socket.once('error', reject)
  socket.once('data', () => {
    socket.on('data', read)
    resolve()
  })
  const timer = setTimeout(() => reject(new Error('the echo server does not answer')), READY_MS)
  await promise
  clearTimeout(timer)
  return socket
}

/** Bytes of echoed messages in a stream of unmasked binary frames; frames are only skipped. */
const meter = () => {
  let header = 0
  let size = 0
  let lengthBytes = 0
  let left = 0
  return (bytes: Buffer): number => {
    let payload = 0
    for (let at = 0; at < bytes.length; ) {
      if (left > 0) {
        const taken = Math.min(left, bytes.length - at)
        left -= taken
        payload += taken
        at += taken
        continue
      }
      const byte = bytes[at++]!
      if (header === 0) header = 1
      else if (header === 1) {
        lengthBytes = byte === 126 ? 2 : byte === 127 ? 8 : 0
        size = lengthBytes === 0 ? byte : 0
        header = 2
      } else {
        size = size * 256 + byte
        lengthBytes--
      }
      if (header === 2 && lengthBytes === 0) {
        left = size
        header = 0
      }
    }
    return payload
  }
}

const messages = (count: number): Buffer => {
  const one = Buffer.alloc(MESSAGE_BYTES + 8)
  const at = writeHeader(one, 0, MESSAGE_BYTES)
  return Buffer.concat(Array.from({ length: count }, () => one.subarray(0, at + MESSAGE_BYTES)))
}

/** Keeps `window` messages of each pair on their way; answers how to stop. */
export const loadEcho = async (
  port: number,
  pairs: number,
  window: number,
): Promise<() => void> => {
  let running = true
  const sockets: Socket[] = []
  const batches = Array.from({ length: window + 1 }, (_, count) => messages(count))
  for (let i = 0; i < pairs; i++) {
    const measure = meter()
    let acked = 0
    const sender = await openOne(port, (bytes) => {
      acked += measure(bytes)
      const more = Math.min(window, Math.floor(acked / ACK_BYTES))
      acked -= more * ACK_BYTES
      if (running && more > 0) sender.write(batches[more]!)
    })
    sockets.push(sender, await openOne(port, () => {}))
  }
  for (let i = 0; i < sockets.length; i += 2) sockets[i]!.write(batches[window]!)
  return () => {
    running = false
    for (const socket of sockets) socket.destroy()
  }
}

/** Round trips of one message: median ms. */
export const pingEcho = async (port: number, times: number): Promise<number> => {
  const histogram = new Histogram()
  const { promise, resolve } = Promise.withResolvers<void>()
  const one = messages(1)
  const measure = meter()
  let sentUs = 0
  let acked = 0
  const socket = await openOne(port, (bytes) => {
    acked += measure(bytes)
    if (acked < ACK_BYTES) return
    acked = 0
    histogram.record(nowUs() - sentUs)
    if (histogram.count === times) return resolve()
    sentUs = nowUs()
    socket.write(one)
  })
  sentUs = nowUs()
  socket.write(one)
  await promise
  socket.destroy()
  return histogram.percentiles().p50
}
