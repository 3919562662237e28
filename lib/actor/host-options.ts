/** What a host is given by whoever composes the process (cmd/roles/host.ts). */
import type { Nats } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import type { Incarnation } from '../ids.ts'
import type { Log } from '../log.ts'
import type { HistoryStore } from '../store/history/history.ts'
import type { StateStore } from '../store/state/state.ts'
import type { RoomBehavior, UserBehavior } from './behavior.ts'
import type { ActorLimits } from './context.ts'
import type { StartContext } from './owner-start.ts'
import type { Timing } from './placement.ts'
import type { QueueLimits } from './queue-device.ts'
import type { QueueConsumer } from './queue-port.ts'

export type HostOptions<Room, User> = {
  readonly nats: Nats
  readonly clock: Clock
  readonly log: Log
  readonly identity: { readonly incarnation: Incarnation; readonly host: string }
  readonly partitions: number
  /** Streams of each family (K). */
  readonly streams: number
  /** A lock on the data directory proves that no other host is alive. */
  readonly exclusive: boolean
  readonly room: RoomBehavior<Room>
  readonly user: UserBehavior<User>
  readonly history: HistoryStore
  readonly state: StateStore
  readonly limits: ActorLimits
  readonly inboxConsumer: StartContext['inboxConsumer']
  /** The durable queue of a device (contracts I5). */
  readonly queueConsumer: QueueConsumer
  readonly queueLimits: QueueLimits
  /** Of the placement, where the defaults are not right. */
  readonly timing?: Partial<Timing>
}
