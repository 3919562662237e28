/**
 * The bus over a NATS connection: the one place that knows the driver of core NATS. Streams are in streams.ts,
 * buckets in buckets.ts.
 */
import { nuid } from '@nats-io/nats-core'
import type { NatsConnection } from '@nats-io/transport-node'
import { ParleyError } from '../errors.ts'
import { openBucket } from './buckets.ts'
import type { Bucket, BucketName, Message, Nats, Unsubscribe } from './bus.ts'
import { type NatsOptions, openConnection } from './connect.ts'
import { natsStreams } from './streams.ts'

/** Connects, waiting for the first server to answer. @throws ParleyError unavailable */
export const connectNats = async (options: NatsOptions): Promise<Nats> =>
  natsBus(await openConnection(options))

const gapEvents = new Set(['reconnect', 'slowConsumer'])

const natsBus = (connection: NatsConnection): Nats => {
  const gaps = new Set<() => void>()
  const buckets = new Map<BucketName, Promise<Bucket>>()
  let connected = true

  const watchStatus = async () => {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') connected = false
      if (status.type === 'reconnect') connected = true
      if (gapEvents.has(status.type)) for (const callback of gaps) callback()
    }
  }
  // Ends with the connection.
  void watchStatus()

  const onGap = (callback: () => void): Unsubscribe => {
    gaps.add(callback)
    return () => gaps.delete(callback)
  }

  const subscribe = (subject: string, onMessage: (message: Message) => void): Unsubscribe => {
    const subscription = connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) return
        const { subject, data, reply } = message
        try {
          onMessage({ subject, data, reply: reply === '' ? undefined : reply })
        } catch (bug) {
          // Thrown here it would only end the connection's reader, in silence; a process with a bug must end loudly.
          process.nextTick(() => {
            throw bug
          })
        }
      },
    })
    return () => {
      if (!connection.isClosed()) subscription.unsubscribe()
    }
  }

  return {
    get connected() {
      return connected
    },
    publish: (subject, data, reply) => {
      if (connection.isClosed()) return
      if (reply === undefined) connection.publish(subject, data)
      else connection.publish(subject, data, { reply })
    },
    subscribe,
    request: async (subject, data, timeoutMs) => {
      try {
        const answer = await connection.request(subject, data, { timeout: timeoutMs })
        return answer.data
      } catch (cause) {
        throw new ParleyError('unavailable', { detail: `no answer on ${subject}`, cause })
      }
    },
    flush: () => connection.flush(),
    onGap,
    streams: natsStreams(connection, onGap),
    bucket: (name) => {
      const known = buckets.get(name)
      if (known !== undefined) return known
      const opened = openBucket(connection, name)
      buckets.set(name, opened)
      opened.catch(() => buckets.delete(name))
      return opened
    },
    inbox: (onMessage) => {
      const prefix = `_INBOX.${nuid.next()}`
      const close = subscribe(`${prefix}.>`, (message) =>
        onMessage(message.subject.slice(prefix.length + 1), message),
      )
      return { prefix, close }
    },
    close: async () => {
      if (!connection.isClosed()) await connection.close()
    },
  }
}
