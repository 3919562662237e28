/** Group commits: one batch in flight per partition, each with the last sequence expected (contracts L). */
import { connectNats } from '../../lib/bus/nats.ts'
import { logSubject } from '../../lib/subjects.ts'
import { nowUs } from '../load/clock.ts'
import { Histogram } from '../measure/histogram.ts'
import type { Part } from './part.ts'
import { BATCH, MESSAGE_BYTES } from './probe.ts'

/** Partitions that a load of 50 rooms keeps busy, about. */
const PARTITIONS = 32

export const commitBatches = async (url: string): Promise<Part> => {
  const nats = await connectNats({ servers: [url], name: 'probe commits' })
  const decoder = new TextDecoder()
  const trips = new Histogram()
  const last = new Array<number>(PARTITIONS).fill(0)
  let batch = new Uint8Array(BATCH * MESSAGE_BYTES)
  let running = false
  let count = 0
  let sentUs = 0
  let ready: number[] = []
  const flush = (): void => {
    sentUs = nowUs()
    for (const p of ready) {
      nats.streams.append(logSubject(p), batch, last[p], `${inbox.prefix}.${p}`)
    }
    ready = []
  }
  const commit = (p: number): void => {
    if (ready.length === 0) setImmediate(flush)
    ready.push(p)
  }
  const inbox = nats.inbox((token, { data }) => {
    const p = Number(token)
    const text = decoder.decode(data)
    const seq = Number(/"seq":\s*(\d+)/.exec(text)?.[1] ?? Number.NaN)
    if (!(seq > 0)) throw new Error(`a commit was refused: ${text}`)
    last[p] = seq
    if (!running) return
    count += batch.length / MESSAGE_BYTES
    if (batch.length === MESSAGE_BYTES) trips.record(nowUs() - sentUs)
    commit(p)
  })
  await nats.flush()
  return {
    start: (mode) => {
      batch = new Uint8Array((mode === 'many' ? BATCH : 1) * MESSAGE_BYTES)
      trips.reset()
      count = 0
      running = true
      for (let p = 0; p < (mode === 'many' ? PARTITIONS : 1); p++) commit(p)
    },
    stop: () => {
      running = false
      return { count, p50Us: trips.percentiles().p50 * 1000 }
    },
  }
}
