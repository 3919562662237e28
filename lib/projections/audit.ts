/**
 * `verify` over NATS: whoever asks needs no store, the process that follows a log stream has one open. So it works with
 * stores that admit one process as with those that admit many.
 *
 * On `audit.<member>` comes a request {stream}; answers, to its reply subject: {differences} as they are found, {working}
 * about once a second, at last {verified} or {failed}. All JSON.
 */
import type { Nats } from '../bus/bus.ts'
import { fromJson, toJson } from '../bus/cluster.ts'
import type { RecordSource } from '../bus/record-source.ts'
import type { Clock } from '../clock.ts'
import { ParleyError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Service } from '../service.ts'
import type { HistoryStore } from '../store/history/history.ts'
import { type Difference, type Verified, verifyStream } from './verify.ts'

type Answer =
  | { readonly working: true }
  | { readonly differences: readonly Difference[] }
  | { readonly verified: Verified }
  | { readonly failed: string }

const auditSubject = (member: string): string => `audit.${member}`

/** Differences in one message, and the most that wait to be told; beyond it, telling comes before more work. */
const TOLD = 500
const STEP_MS = 1_000
/** Without any answer for so long, nobody is at work. */
const SILENT_MS = 15_000
/** Streams that are verified at once; more are refused. */
const AT_ONCE = 4

export type AuditorOptions = {
  readonly nats: Pick<Nats, 'subscribe' | 'publish' | 'flush'>
  readonly member: string
  readonly history: HistoryStore
  readonly partitions: number
  readonly streams: number
  /** A source of its own for each audit; closed at its end. */
  readonly source: (stream: number) => RecordSource
  readonly clock: Clock
  readonly log: Log
}

/** Verifies log streams when it is asked to. */
export const auditor = (options: AuditorOptions): Service => {
  const { nats, member, history, partitions, streams, clock, log } = options
  const stop = new AbortController()
  const working = new Set<Promise<void>>()
  let unsubscribe = (): void => {}

  const audit = async (stream: number, reply: string): Promise<void> => {
    const tell = (answer: Answer) => nats.publish(reply, toJson(answer))
    const source = options.source(stream)
    let found: Difference[] = []
    let toldAt = clock.monotonic()
    const flush = async () => {
      for (; found.length > 0; found = found.slice(TOLD)) {
        tell({ differences: found.slice(0, TOLD) })
        await nats.flush()
      }
    }
    const onStep = async () => {
      if (found.length >= TOLD) await flush()
      if (clock.monotonic() - toldAt < STEP_MS) return
      toldAt = clock.monotonic()
      tell({ working: true })
    }
    try {
      const verified = await verifyStream(
        {
          ...{ history, stream, streams, partitions, source, onStep },
          onDifference: (difference) => found.push(difference),
        },
        stop.signal,
      )
      await flush()
      tell({ verified })
      log.info({ stream, ...verified }, 'projection.verified')
    } catch (err) {
      log.warn({ stream, err }, 'projection.verify_failed')
      tell({ failed: err instanceof Error ? err.message : String(err) })
    } finally {
      source.close()
    }
  }

  return {
    name: 'auditor',
    start: async () => {
      unsubscribe = nats.subscribe(auditSubject(member), ({ data, reply }) => {
        if (reply === undefined) return
        const stream = streamIn(data)
        if (stream === undefined || stream >= streams || working.size >= AT_ONCE) {
          nats.publish(reply, toJson({ failed: 'no such stream, or too many audits at once' }))
          return
        }
        const work = audit(stream, reply).finally(() => working.delete(work))
        working.add(work)
      })
    },
    drain: async () => {
      unsubscribe()
      stop.abort(new ParleyError('unavailable', { detail: 'the projector stops' }))
      await Promise.all(working)
    },
  }
}

const streamIn = (data: Uint8Array): number | undefined => {
  try {
    const { stream } = fromJson<{ stream?: unknown }>(data)
    return Number.isInteger(stream) && (stream as number) >= 0 ? (stream as number) : undefined
  } catch {
    return undefined
  }
}

/** Has `member` verify a stream; resolves at its end. @throws ParleyError unavailable when it fails or nobody answers */
export const askAudit = async (
  nats: Nats,
  member: string,
  stream: number,
  onDifference: (difference: Difference) => void,
): Promise<Verified> => {
  const { promise, resolve, reject } = Promise.withResolvers<Verified>()
  const failed = (detail: string) => reject(new ParleyError('unavailable', { detail }))
  const silent = () => failed(`the projector that follows log stream ${stream} does not answer`)
  let timer = setTimeout(silent, SILENT_MS)
  const inbox = nats.inbox((_rest, { data }) => {
    clearTimeout(timer)
    if (data.length === 0) return silent()
    timer = setTimeout(silent, SILENT_MS)
    const answer = fromJson<Answer>(data)
    if ('differences' in answer) for (const one of answer.differences) onDifference(one)
    else if ('verified' in answer) resolve(answer.verified)
    else if ('failed' in answer) failed(answer.failed)
  })
  try {
    nats.publish(auditSubject(member), toJson({ stream }), `${inbox.prefix}.${stream}`)
    return await promise
  } finally {
    clearTimeout(timer)
    inbox.close()
  }
}
