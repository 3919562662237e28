/** The role that owns partitions: rooms and users. */
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { user } from '../../actors/user/user.ts'
import { Host } from '../../lib/actor/host.ts'
import type { Nats } from '../../lib/bus/bus.ts'
import { systemClock } from '../../lib/clock.ts'
import type { Config } from '../../lib/config.ts'
import { newIncarnation } from '../../lib/ids.ts'
import type { Log } from '../../lib/log.ts'
import { inboxConsumer, queueConsumer } from '../../nats/consumers.ts'
import { DEFAULT_LIMITS, type FixedShape } from '../../nats/shape.ts'
import type { ActorStores } from './stores.ts'

const QUEUE_LIMITS = {
  entries: DEFAULT_LIMITS.queueMessages,
  bytes: 16 * 2 ** 20,
  ageMs: 7 * 86_400_000,
}

export const createHost = (
  config: Config,
  nats: Nats,
  shape: FixedShape,
  stores: Pick<ActorStores, 'history' | 'state' | 'exclusive'>,
  log: Log,
) =>
  new Host({
    nats,
    clock: systemClock,
    log,
    identity: { incarnation: newIncarnation(), host: `${hostname()}:${resolve(config.data)}` },
    partitions: shape.partitions,
    streams: shape.streams,
    exclusive: stores.exclusive,
    room: createRoomBehavior({ members: config.groupMembers }),
    user,
    history: stores.history,
    state: stores.state,
    limits: { textBytes: config.textBytes, roomIdleMs: config.roomIdleSeconds * 1000 },
    inboxConsumer: (p, epoch, from) => inboxConsumer(shape, p, epoch, from),
    queueConsumer: (user, device) => queueConsumer(shape, user, device),
    queueLimits: QUEUE_LIMITS,
  })
