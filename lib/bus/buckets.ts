/** KV buckets over @nats-io/kv. */
import { JetStreamApiError } from '@nats-io/jetstream'
import { type KvEntry, Kvm } from '@nats-io/kv'
import type { NatsConnection } from '@nats-io/nats-core'
import { ParleyError } from '../errors.ts'
import type { Bucket, BucketName, Entry } from './bus.ts'

/** JetStream's err_code of "wrong last sequence". */
const WRONG_LAST = 10071

const entry = (found: Pick<KvEntry, 'key' | 'value' | 'revision' | 'operation'>): Entry => ({
  key: found.key,
  value: found.operation === 'PUT' ? found.value : undefined,
  revision: found.revision,
})

const orUnavailable = async <T>(what: string, work: Promise<T>): Promise<T> => {
  try {
    return await work
  } catch (cause) {
    throw new ParleyError('unavailable', { detail: `KV ${what} does not answer`, cause })
  }
}

export const openBucket = async (connection: NatsConnection, name: BucketName): Promise<Bucket> => {
  const kv = await orUnavailable(name, new Kvm(connection).open(name))
  return {
    get: async (key) => {
      const found = await orUnavailable(name, kv.get(key))
      return found === null ? undefined : entry(found)
    },
    put: (key, value) => orUnavailable(name, kv.put(key, value)),
    cas: async (key, value, expected) => {
      try {
        return await kv.put(key, value, { previousSeq: expected })
      } catch (cause) {
        if (cause instanceof JetStreamApiError && cause.code === WRONG_LAST) return undefined
        throw new ParleyError('unavailable', { detail: `KV ${name} does not answer`, cause })
      }
    },
    remove: (key) => orUnavailable(name, kv.delete(key)),
    keys: async () => {
      const keys: string[] = []
      for await (const key of await orUnavailable(name, kv.keys())) keys.push(key)
      return keys
    },
    watch: async (onEntry, onReady) => {
      // Asked for first: what is put into an empty bucket after this is a change, not what there is now.
      const { values } = await orUnavailable(name, kv.status())
      const iterator = await orUnavailable(name, kv.watch())
      const follow = async () => {
        let ready = values === 0
        if (ready) onReady?.()
        for await (const found of iterator) {
          onEntry(entry(found))
          if (!ready && found.delta === 0) {
            ready = true
            onReady?.()
          }
        }
      }
      // Ends with the iterator.
      void follow().catch(() => undefined)
      return () => iterator.stop()
    },
  }
}
