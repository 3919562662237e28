/** One owner of one partition's log: the real fence, appends and writer, without a partition above them. */
import { Appends } from '../actor/appends.ts'
import { fence } from '../actor/fence.ts'
import { LogWriter } from '../actor/log-writer.ts'
import type { Nats, StoredMessage } from '../bus/bus.ts'
import { type Clock, systemClock } from '../clock.ts'
import { type Batch, decodeBatch, encodeBatch, type LogRecord } from '../protocol/records.ts'
import { logSubject, streamOf } from '../subjects.ts'
import type { FaultyWire } from './faulty-wire.ts'

const PULSE_MS = 5

export type LogOwner = {
  readonly epoch: number
  readonly writer: LogWriter
  /** Positions of the batches that are known to be committed, the first one first. */
  readonly committed: readonly number[]
  /** Codes of failed attempts; 0 = no reply. */
  readonly doubts: readonly number[]
  readonly fencedBy: number | undefined
  readonly damage: string | undefined
  /** Resolves when the batch is committed, or the owner has lost the log. */
  commit(records?: readonly LogRecord[]): Promise<void>
  close(): void
}

export const logOwner = (
  nats: Nats,
  p: number,
  epoch: number,
  clock: Clock,
  view = 1,
): LogOwner => {
  const committed: number[] = []
  const doubts: number[] = []
  let fencedBy: number | undefined
  let damage: string | undefined
  let number = 0
  let decided: () => void = () => {}
  const appends = new Appends(nats, {
    log: (_p, of, number, attempt, reply) => {
      if (of === epoch) writer.reply(number, attempt, reply)
    },
    inbox: () => {},
  })
  const writer = new LogWriter(
    {
      append: (bytes, expected, number, attempt) =>
        appends.log(logSubject(p), p, epoch, bytes, expected, number, attempt),
      get: (seq) => nats.streams.get(streamOf('LOG', p, 1), seq),
    },
    {
      committed: (seq) => {
        committed.push(seq)
        decided()
      },
      fenced: (view) => {
        fencedBy = view
        decided()
      },
      damaged: (why) => {
        damage = why
        decided()
      },
      alarm: () => {},
      doubt: (code) => doubts.push(code),
    },
    clock,
    epoch,
  )
  const pulse = setInterval(() => writer.pulse(), PULSE_MS)
  const close = (): void => {
    clearInterval(pulse)
    writer.stop()
    appends.close()
  }
  return {
    epoch,
    writer,
    committed,
    doubts,
    get fencedBy() {
      return fencedBy
    },
    get damage() {
      return damage
    },
    commit: (records = [{ kind: 'tick' }]) => {
      const batch: Batch = { epoch, number: ++number, prev: writer.last, view, records }
      return new Promise((resolve) => {
        decided = resolve
        writer.commit(number, encodeBatch(batch))
      })
    },
    close,
  }
}

/** Takes the log of `p` over as host `h<view>`; answers the epoch. */
export const takeLog = async (nats: Nats, p: number, view = 1): Promise<number> => {
  const stream = streamOf('LOG', p, 1)
  const appends = new Appends(nats, { log: () => {}, inbox: () => {} })
  try {
    const fenced = await fence(
      {
        clock: systemClock,
        last: () => nats.streams.last(stream, logSubject(p)),
        get: (seq) => nats.streams.get(stream, seq),
        append: (bytes, expected) => appends.once(logSubject(p), bytes, expected),
        alarm: () => {},
      },
      { incarnation: `h${view}`, host: `h${view}`, view },
      AbortSignal.timeout(30_000),
    )
    if (fenced.kind !== 'owned') throw new Error(`yielded to view ${fenced.view}`)
    return fenced.epoch
  } finally {
    appends.close()
  }
}

export type LogEntry = StoredMessage & { readonly batch: Batch }

/** What the log of `p` holds. @throws Error where its chain breaks */
export const recordsOf = async (nats: Nats, p: number): Promise<LogEntry[]> => {
  const records: LogEntry[] = []
  await nats.streams.read(streamOf('LOG', p, 1), [logSubject(p)], 1, (message) => {
    const batch = decodeBatch(message.data)
    const last = records.at(-1)
    if (last !== undefined && batch.prev !== last.seq) {
      throw new Error(`record ${message.seq} follows ${batch.prev}, not ${last.seq}`)
    }
    records.push({ ...message, batch })
  })
  return records
}

/** True when the log holds exactly the batches that the owner committed, each once, where it was told. */
export const holds = async (nats: Nats, p: number, owner: LogOwner): Promise<boolean> => {
  const its = (await recordsOf(nats, p)).filter(({ batch }) => batch.epoch === owner.epoch)
  return (
    its.length === owner.committed.length &&
    its.every(({ seq, batch }, i) => seq === owner.committed[i] && batch.number === i + 1)
  )
}

/** The reply token of an owner's batch, as Appends makes it. */
const BATCH = /\.l\.\d+\.\d+\.\d+\.\d+$/

/**
 * How many appends to logs repeated an earlier one. @throws Error when one had other bytes or another expectation than
 * the first of its batch (contracts L1)
 */
export const sameBytes = (wire: FaultyWire): number => {
  const first = new Map<string, { data: Uint8Array; expected: number | undefined }>()
  let again = 0
  for (const { reply, data, expected } of wire.appends) {
    if (!BATCH.test(reply)) continue
    const batch = reply.slice(0, reply.lastIndexOf('.'))
    const known = first.get(batch)
    if (known === undefined) first.set(batch, { data, expected })
    else {
      again++
      if (known.expected !== expected || !Buffer.from(known.data).equals(data)) {
        throw new Error(
          `the bytes or the expectation of ${reply} are not those of its first attempt`,
        )
      }
    }
  }
  return again
}
