/**
 * Takes over a partition's log by writing into it (contracts L, owner start 1–2). A read can be stale; an append with
 * the right expectation can't, and every later append of the former owner is refused for ever.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { nanoid } from 'nanoid'
import type { AppendReply, StoredMessage } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import { decodeBatch, encodeBatch, type LogRecord } from '../protocol/records.ts'

export type FencePort = {
  readonly clock: Clock
  /** The newest record of the subject as some replica knows it; undefined for none. */
  last(): Promise<StoredMessage | undefined>
  get(seq: number): Promise<StoredMessage | undefined>
  /** Publishes and waits for the answer; undefined when none came within a second. */
  append(bytes: Uint8Array, expected: number): Promise<AppendReply | undefined>
  /** Something an operator should see. */
  alarm(text: string): void
}

export type Claimant = {
  readonly incarnation: string
  readonly host: string
  readonly view: number
}

export type Fenced =
  /** Epoch E is the sequence of our record, `prev` that of the record before it (0 = the log was empty). */
  | { readonly kind: 'owned'; readonly epoch: number; readonly prev: number }
  /** Somebody with a newer placement view has written (contracts O5). */
  | { readonly kind: 'yield'; readonly view: number }

const WRONG_LAST = 10071
const READ_TRIES = 8
const READ_PAUSE_MS = 20
const BACKOFF_MAX_MS = 500
const ALARM_MS = 30_000

export const fence = async (
  port: FencePort,
  who: Claimant,
  signal: AbortSignal,
): Promise<Fenced> => {
  const nonces = new Set<string>()
  let hint = (await retrying(() => port.last(), signal))?.seq ?? 0
  let bytes = epochBatch(who, hint, nonces)
  let backoff = 2
  let shorterSince: number | undefined
  for (;;) {
    signal.throwIfAborted()
    const reply = await port.append(bytes, hint)
    if (reply?.ok) return { kind: 'owned', epoch: reply.seq, prev: hint }
    if (reply?.code === WRONG_LAST && reply.last !== undefined && reply.last > hint) {
      const found = await readSoon(port, reply.last, signal)
      // Absent: a stale replica answered; the same bytes again, with a fresh answer to come.
      if (found === undefined) continue
      const batch = decodeBatch(found.data)
      if (batch.records.some((record) => isOurs(record, nonces))) {
        return { kind: 'owned', epoch: found.seq, prev: batch.prev }
      }
      if (batch.view > who.view) return { kind: 'yield', view: batch.view }
      hint = found.seq
      bytes = epochBatch(who, hint, nonces)
      continue
    }
    // A stale leader, or a damaged log: the hint is never lowered.
    if (reply?.code === WRONG_LAST && reply.last !== undefined && reply.last < hint) {
      const now = port.clock.monotonic()
      shorterSince ??= now
      if (now - shorterSince > ALARM_MS) {
        port.alarm(`the log ends at ${reply.last}, though it held ${hint}`)
        shorterSince = now
      }
    } else shorterSince = undefined
    await pause(backoff * (0.5 + Math.random()), undefined, { signal })
    backoff = Math.min(backoff * 2, BACKOFF_MAX_MS)
  }
}

/** A fresh nonce for every expectation: a record found later says which attempt it was. */
const epochBatch = (who: Claimant, prev: number, nonces: Set<string>): Uint8Array => {
  const nonce = nanoid()
  nonces.add(nonce)
  const { incarnation, host, view } = who
  return encodeBatch({
    epoch: 0,
    number: 0,
    prev,
    view,
    records: [{ kind: 'epoch', nonce, incarnation, host }],
  })
}

const isOurs = (record: LogRecord, nonces: ReadonlySet<string>): boolean =>
  record.kind === 'epoch' && nonces.has(record.nonce)

const readSoon = async (port: FencePort, seq: number, signal: AbortSignal) => {
  for (let tries = 0; tries < READ_TRIES; tries++) {
    const found = await port.get(seq).catch(() => undefined)
    if (found !== undefined) return found
    await pause(READ_PAUSE_MS, undefined, { signal })
  }
  return undefined
}

const retrying = async <T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> => {
  for (let backoff = 10; ; backoff = Math.min(backoff * 2, BACKOFF_MAX_MS)) {
    try {
      return await ask()
    } catch {
      await pause(backoff, undefined, { signal })
    }
  }
}
