/** JetStream as Parley uses it, over @nats-io/jetstream. */
import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  JetStreamApiError,
  type JsMsg,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream'
import { headers, type NatsConnection } from '@nats-io/nats-core'
import { systemClock } from '../clock.ts'
import { ParleyError } from '../errors.ts'
import type { StoredMessage, Streams, Unsubscribe } from './bus.ts'
import { openPull } from './pull.ts'
import { recordSource } from './record-source.ts'

const EXPECTED = 'Nats-Expected-Last-Subject-Sequence'
/** JetStream's err_code of "no message found". */
const NO_MESSAGE = 10037
const CONSUMER_NOT_FOUND = 10014
const TOO_MANY_CONSUMERS = 10026
const READ_STALL_MS = 5000

const stored = (message: JsMsg): StoredMessage => ({
  seq: message.seq,
  subject: message.subject,
  data: message.data,
  time: message.time.getTime(),
})

const absentIs = async <T>(code: number, ask: Promise<T>): Promise<T | undefined> => {
  try {
    return await ask
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === code) return undefined
    throw new ParleyError('unavailable', { cause: error })
  }
}

export const natsStreams = (
  connection: NatsConnection,
  onGap: (callback: () => void) => Unsubscribe,
): Streams => {
  const js = jetstream(connection, { timeout: 5000 })
  const manager = jetstreamManager(connection, { checkAPI: false, timeout: 5000 })

  const getMessage = async (stream: string, query: { seq: number } | { last_by_subj: string }) => {
    const found = await absentIs(NO_MESSAGE, (await manager).streams.getMessage(stream, query))
    if (found === undefined || found === null) return undefined
    return { seq: found.seq, subject: found.subject, data: found.data, time: found.time.getTime() }
  }

  return {
    append: (subject, data, expected, reply) => {
      if (connection.isClosed()) return
      if (expected === undefined) {
        connection.publish(subject, data, { reply })
        return
      }
      const header = headers()
      header.set(EXPECTED, String(expected))
      connection.publish(subject, data, { reply, headers: header })
    },
    get: (stream, seq) => getMessage(stream, { seq }),
    last: (stream, subject) => getMessage(stream, { last_by_subj: subject }),
    read: async (stream, subjects, from, onMessage) => {
      const { consumers } = await manager
      const info = await consumers.add(stream, {
        ack_policy: AckPolicy.None,
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: Math.max(1, from),
        filter_subjects: [...subjects],
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: 30_000_000_000,
      })
      let left = info.num_pending
      if (left === 0) return
      const consumer = await js.consumers.get(stream, info.name)
      try {
        while (left > 0) {
          const before = left
          const messages = await consumer.fetch({
            max_messages: Math.min(left, 2000),
            expires: READ_STALL_MS,
          })
          for await (const message of messages) {
            onMessage(stored(message))
            left--
          }
          if (left === before) {
            throw new ParleyError('unavailable', { detail: `reading ${stream} stalled` })
          }
        }
      } finally {
        // It would expire by itself; a failure to delete it is no failure to read.
        void consumer.delete().catch(() => false)
      }
    },
    state: async (stream) => {
      const info = await (await manager).streams.info(stream)
      return {
        firstSeq: info.state.first_seq,
        lastSeq: info.state.last_seq,
        messages: info.state.messages,
        bytes: info.state.bytes,
        maxBytes: info.config.max_bytes,
        created: info.created,
      }
    },
    purge: async (stream, below, subject) => {
      const filter = subject === undefined ? undefined : { filter: subject }
      await (await manager).streams.purge(
        stream,
        below === undefined ? filter : { ...filter, seq: below },
      )
    },
    source: (stream, config) =>
      recordSource(connection, {
        stream,
        consumer: config as Partial<ConsumerConfig> & { durable_name: string },
        clock: systemClock,
      }),
    addConsumer: async (stream, config) => {
      try {
        await (await manager).consumers.add(stream, config as unknown as Partial<ConsumerConfig>)
      } catch (cause) {
        const full = cause instanceof JetStreamApiError && cause.code === TOO_MANY_CONSUMERS
        throw new ParleyError(full ? 'limit' : 'unavailable', { cause })
      }
    },
    consumer: async (stream, name) => {
      const info = await absentIs(CONSUMER_NOT_FOUND, (await manager).consumers.info(stream, name))
      return (
        info && {
          pending: info.num_pending,
          unacked: info.num_ack_pending,
          floor: info.ack_floor.stream_seq,
          waiting: info.num_waiting,
          created: info.created,
        }
      )
    },
    pull: (stream, name, sink) => openPull(connection, onGap, stream, name, sink),
    deleteConsumer: async (stream, name) => {
      await absentIs(CONSUMER_NOT_FOUND, (await manager).consumers.delete(stream, name))
    },
    consumers: async (stream) => {
      const names: string[] = []
      for await (const info of (await manager).consumers.list(stream)) names.push(info.name)
      return names
    },
  }
}
