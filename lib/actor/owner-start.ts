/**
 * From a claim to serving (contracts L, owner start): fence the log by writing, read a chain that is proved whole,
 * wait until the former owner can't be answering any more, fold the inbox up to a marker of our own.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { nanoid } from 'nanoid'
import type { ConsumerSpec, Nats } from '../bus/bus.ts'
import { checkpointKey, inboxFloorKey, type Positions } from '../bus/positions.ts'
import type { RecordSource } from '../bus/record-source.ts'
import type { Clock } from '../clock.ts'
import { writeMarkerEntry } from '../protocol/inbox.ts'
import { decodeBatch, decodeHeader } from '../protocol/records.ts'
import { Writer } from '../protocol/writer.ts'
import { inboxSubject, logSubject, streamOf } from '../subjects.ts'
import type { Appends } from './appends.ts'
import { type Claimant, fence } from './fence.ts'
import type { Fold } from './fold.ts'
import { readInboxInto } from './inbox-reader.ts'
import { QUIET_MS } from './lease.ts'
import { BrokenChain, type Chain, ChainBuilder, Superseded } from './replay.ts'

export type StartContext = {
  readonly nats: Nats
  readonly clock: Clock
  readonly appends: Appends
  readonly positions: Positions
  readonly streams: number
  /** Up to where history has stored the partition's log stream. */
  historyFloor(p: number): Promise<number>
  inboxConsumer(p: number, epoch: number, from: number): { stream: string; config: ConsumerSpec }
  /** Whether the owner whose last epoch was `epoch` can't be alive any more. */
  provenDead(p: number, epoch: number): boolean
  alarm(p: number, text: string): void
}

/** Another owner has written, with that placement view. */
type Yielded = { readonly kind: 'yield'; readonly view: number }
export type Taken =
  | Yielded
  | {
      readonly kind: 'owned'
      readonly epoch: number
      readonly checkpoint: number
      readonly chain: Chain
      /** Monotonic ms before which nothing may leave. */
      readonly quietUntil: number
    }

const RETRY_MAX_MS = 1000
const ALARM_TRIES = 20
const ALARM_MS = 10_000
/** An epoch of no owner: proven dead only where nobody else can be alive. */
const NOBODY = -1
/** JetStream's err_code of a full stream. */
const FULL = 10077

/** Takes the log of `p` over. */
export const takeLog = async (
  context: StartContext,
  p: number,
  who: Claimant,
  signal: AbortSignal,
): Promise<Taken> => {
  const { nats, appends, clock } = context
  const subject = logSubject(p)
  const stream = streamOf('LOG', p, context.streams)
  const fenced = await fence(
    {
      clock,
      last: () => nats.streams.last(stream, subject),
      get: (seq) => nats.streams.get(stream, seq),
      append: (bytes, expected) => appends.once(subject, bytes, expected),
      alarm: (text) => context.alarm(p, text),
    },
    who,
    signal,
  )
  if (fenced.kind === 'yield') return fenced
  const fencedAt = clock.monotonic()
  const { epoch, prev } = fenced
  const read = await readChain(context, p, stream, subject, epoch, signal)
  if (read.kind === 'yield') return read
  const { chain, checkpoint } = read
  const silent = prev === 0 || chain.handed || (await formerIsGone(context, p, stream, prev))
  return { kind: 'owned', epoch, checkpoint, chain, quietUntil: silent ? 0 : fencedAt + QUIET_MS }
}

/** Whether the writer of the record before ours handed over or is dead: otherwise it may be answering still (L10). */
const formerIsGone = async (
  context: StartContext,
  p: number,
  stream: string,
  seq: number,
): Promise<boolean> => {
  const record = await context.nats.streams.get(stream, seq).catch(() => undefined)
  if (record === undefined) return context.provenDead(p, NOBODY)
  const batch = decodeBatch(record.data)
  if (batch.records.at(-1)?.kind === 'handover') return true
  // An owner that wrote nothing but its epoch may not have waited for the one before it: its own death proves too little.
  return context.provenDead(p, batch.epoch === 0 ? NOBODY : batch.epoch)
}

const readChain = async (
  context: StartContext,
  p: number,
  stream: string,
  subject: string,
  epoch: number,
  signal: AbortSignal,
): Promise<Yielded | { kind: 'chain'; chain: Chain; checkpoint: number }> => {
  let alarmedAt = context.clock.monotonic()
  for (let tries = 1; ; tries++) {
    signal.throwIfAborted()
    try {
      // Read again at each try: what a stale checkpoint points to may have been trimmed.
      const checkpoint = await context.positions.read(checkpointKey(p))
      if (checkpoint > epoch) return await laterOwner(context, stream, checkpoint)
      const floor = Math.min(checkpoint, await context.historyFloor(p))
      const builder = new ChainBuilder(floor, checkpoint, epoch)
      await context.nats.streams.read(stream, [subject], floor + 1, (message) =>
        builder.add(message),
      )
      return { kind: 'chain', chain: builder.finish(), checkpoint }
    } catch (error) {
      if (error instanceof Superseded) return { kind: 'yield', view: error.view }
      const now = context.clock.monotonic()
      if (now - alarmedAt >= ALARM_MS) {
        alarmedAt = now
        context.alarm(p, `the log can not be read: ${String(error)}`)
      }
    }
    await pause(Math.min(10 * 2 ** tries, RETRY_MAX_MS), undefined, { signal })
  }
}

/** Only an owner after us can have stored a checkpoint past our epoch. @throws BrokenChain */
const laterOwner = async (
  context: StartContext,
  stream: string,
  checkpoint: number,
): Promise<Yielded> => {
  const record = await context.nats.streams.get(stream, checkpoint)
  if (record === undefined)
    throw new BrokenChain(`the record of checkpoint ${checkpoint} is missing`)
  return { kind: 'yield', view: decodeHeader(record.data).view }
}

/**
 * Folds the inbox of `p` from now on and until `signal` aborts; resolves when everything is folded that was there
 * before. Older owners' consumers are deleted (contracts I3).
 */
export const takeInbox = async <User>(
  context: StartContext,
  fold: Fold<User>,
  epoch: number,
  signal: AbortSignal,
): Promise<void> => {
  const { nats, appends } = context
  const { p } = fold
  const { stream, config } = context.inboxConsumer(p, epoch, fold.floor + 1)
  const source = nats.streams.source(stream, config)
  const nonce = nanoid()
  const marker = fold.marker(nonce)
  const bytes = writeMarkerEntry(new Writer(), nonce).take()
  let failures = 0
  const reading = readInboxInto(source, fold, signal, (cause) => {
    if (++failures % ALARM_TRIES === 0) {
      context.alarm(p, `the inbox can not be read: ${String(cause)}`)
    }
  })
  void reading.then(() =>
    // Its successor or its inactive threshold deletes it otherwise.
    nats.streams.deleteConsumer(stream, config.durable_name).catch(() => undefined),
  )
  const written = await retry(signal, async () => {
    const reply = await appends.once(inboxSubject(p), bytes, undefined)
    if (reply?.ok) return true
    if (reply?.code === FULL) return false
    throw new Error(reply?.text ?? 'no reply')
  })
  if (written) await Promise.race([marker, aborted(signal)])
  // L0: a full inbox takes no marker; what it holds is all that there is.
  else await untilEmpty(source, signal)
  signal.throwIfAborted()
  void deleteOlder(nats, stream, p, epoch)
}

const untilEmpty = (source: RecordSource, signal: AbortSignal): Promise<void> =>
  retry(signal, async () => {
    if ((await source.pending()) > 0) throw new Error('not yet')
  })

const deleteOlder = async (nats: Nats, stream: string, p: number, epoch: number): Promise<void> => {
  try {
    for (const name of await nats.streams.consumers(stream)) {
      const [family, partition, older] = name.split('_')
      if (family === 'inbox' && Number(partition) === p && Number(older) < epoch) {
        await nats.streams.deleteConsumer(stream, name)
      }
    }
  } catch {
    // Left for the next owner, or for their inactive threshold.
  }
}

export const inboxFloor = (
  context: StartContext,
  p: number,
  signal: AbortSignal,
): Promise<number> => retry(signal, () => context.positions.read(inboxFloorKey(p)))

const retry = async <T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> => {
  for (let backoff = 20; ; backoff = Math.min(backoff * 2, RETRY_MAX_MS)) {
    signal.throwIfAborted()
    try {
      return await work()
    } catch {
      await pause(backoff, undefined, { signal })
    }
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
