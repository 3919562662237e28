/** µs to read a `send`, and to write its ack, its event and its record: what every message needs whoever does it. */
import { dmId, newUserId } from '../../lib/ids.ts'
import { encodeFrame } from '../../lib/protocol/codec.ts'
import { readHead, readSend, writeAck, writeEvent } from '../../lib/protocol/hot.ts'
import { Reader } from '../../lib/protocol/reader.ts'
import { writeRecord } from '../../lib/protocol/records.ts'
import { Writer } from '../../lib/protocol/writer.ts'
import { textOf } from '../load/tag.ts'
import type { Probe } from './probe.ts'

const ROUNDS = 9
const TIMES = 20_000

export const probeEncode = (): Probe => {
  const [sender, peer] = [newUserId(), newUserId()]
  const room = dmId(sender, peer)
  const numbers = { req: 70_000, room, lineage: 2 ** 50, join: 0, n: 5000, low: 4990 }
  const bytes = encodeFrame('send', { ...numbers, text: textOf(100), peer: null })
  const writer = new Writer(65_536)
  const time = Date.now()
  let written = 0
  const once = (): void => {
    const reader = new Reader(bytes)
    const send = readSend(reader, bytes, readHead(reader).length)
    const body = new Writer(128).array(1).raw(send.text).take()
    const event = { room, seq: 5000, ord: 5000, id: 2n ** 60n, time, sender, type: 1, body }
    writeEvent(writer.reset(), event)
    writeRecord(writer, { kind: 'event', ...event, ...numbers, hash: send.hash })
    written += writeAck(writer, send.req, 5000, event.id, time).length
  }
  const taken: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const from = process.cpuUsage()
    for (let i = 0; i < TIMES; i++) once()
    taken.push(process.cpuUsage(from).user / TIMES)
  }
  if (written === 0) throw new Error('nothing was written')
  const us = taken.toSorted((a, b) => a - b)[ROUNDS >> 1]!
  return { us, p50: us / 1000 }
}
