/** What the durable queues need of JetStream and of the store, made of what a host has. */
import type { ConsumerSpec, Streams } from '../bus/bus.ts'
import type { DeviceId, UserId } from '../ids.ts'
import type { StateStore } from '../store/state/state.ts'
import type { Appends } from './appends.ts'
import type { QueueLimits, QueuePort } from './queue-device.ts'

/** The consumer of a device, whose filter is the subject of its queue. */
export type QueueConsumer = (
  user: UserId,
  device: DeviceId,
) => {
  readonly stream: string
  readonly config: ConsumerSpec & { readonly filter_subject: string }
}

type Given = {
  readonly consumer: QueueConsumer
  readonly limits: QueueLimits
  readonly streams: Streams
  readonly appends: Pick<Appends, 'once'>
  readonly state: StateStore
  now(): number
  failed(user: UserId, device: DeviceId, cause: unknown): void
}

export const queuePort = (given: Given): QueuePort => {
  const { consumer, limits, streams, appends, state, now, failed } = given
  return {
    limits,
    now,
    append: (user, device, bytes) =>
      appends.once(consumer(user, device).config.filter_subject, bytes, undefined),
    addConsumer: (user, device) => {
      const { stream, config } = consumer(user, device)
      return streams.addConsumer(stream, config)
    },
    consumer: (user, device) => {
      const { stream, config } = consumer(user, device)
      return streams.consumer(stream, config.durable_name)
    },
    deleteConsumer: (user, device) => {
      const { stream, config } = consumer(user, device)
      return streams.deleteConsumer(stream, config.durable_name)
    },
    purge: (user, device, below) => {
      const { stream, config } = consumer(user, device)
      return streams.purge(stream, below, config.filter_subject)
    },
    store: (rows) => state.saveUsers(rows),
    failed,
  }
}
