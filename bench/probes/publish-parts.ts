/** Two processes that send each other envelopes over core NATS: the hop from a gateway to a host and back. */
import { connectNats } from '../../lib/bus/nats.ts'
import { nowUs } from '../load/clock.ts'
import { Histogram } from '../measure/histogram.ts'
import type { Part } from './part.ts'
import { ACK_BYTES, BATCH, MESSAGE_BYTES } from './probe.ts'

const THERE = 'probe.there'
const BACK = 'probe.back'
/** Envelopes on their way at once. */
const AT_ONCE = 8

export const answerInvites = async (url: string): Promise<Part> => {
  const nats = await connectNats({ servers: [url], name: 'probe answers' })
  const one = new Uint8Array(MESSAGE_BYTES + ACK_BYTES)
  const many = new Uint8Array(BATCH * (MESSAGE_BYTES + ACK_BYTES))
  let waiting: Uint8Array[] = []
  const flush = (): void => {
    for (const answer of waiting) nats.publish(BACK, answer)
    waiting = []
  }
  nats.subscribe(THERE, ({ data }) => {
    if (waiting.length === 0) setImmediate(flush)
    waiting.push(data.length > MESSAGE_BYTES ? many : one)
  })
  await nats.flush()
  return { start: () => {}, stop: () => ({ count: 0, p50Us: 0 }) }
}

export const inviteAll = async (url: string): Promise<Part> => {
  const nats = await connectNats({ servers: [url], name: 'probe asks' })
  const trips = new Histogram()
  let invite = new Uint8Array(BATCH * MESSAGE_BYTES)
  let running = false
  let count = 0
  let due = 0
  let sentUs = 0
  const flush = (): void => {
    sentUs = nowUs()
    for (; due > 0; due--) nats.publish(THERE, invite)
  }
  const ask = (): void => {
    if (due++ === 0) setImmediate(flush)
  }
  nats.subscribe(BACK, () => {
    if (!running) return
    count += invite.length / MESSAGE_BYTES
    if (invite.length === MESSAGE_BYTES) trips.record(nowUs() - sentUs)
    ask()
  })
  await nats.flush()
  return {
    start: (mode) => {
      invite = new Uint8Array((mode === 'many' ? BATCH : 1) * MESSAGE_BYTES)
      trips.reset()
      count = 0
      running = true
      for (let i = 0; i < (mode === 'many' ? AT_ONCE : 1); i++) ask()
    },
    stop: () => {
      running = false
      return { count, p50Us: trips.percentiles().p50 * 1000 }
    },
  }
}
