/** The subjects of Parley, one function each. Ids are safe in a subject by construction (lib/ids.ts). */
import type { DeviceId, GatewayId, Incarnation, RoomId, UserId } from './ids.ts'

/** The address of a room's actor: one command (everyone but the gateways uses it). */
export const roomSubject = (p: number, room: RoomId): string => `room.${p}.${room}`
/** The address of a user's actor. */
export const userSubject = (p: number, user: UserId): string => `user.${p}.${user}`
/** Envelopes of commands to one host. */
export const hostSubject = (host: Incarnation): string => `h.${host}`
/** Envelopes of replies, deliveries and control to one gateway. */
export const gatewaySubject = (gateway: GatewayId): string => `gw.${gateway}`
/** Frames for a user's gateways; at most once, healed by numbering and pongs. */
export const liveSubject = (user: UserId): string => `live.${user}`
/** A partition's log. */
export const logSubject = (p: number): string => `log.${p}`
/** A partition's inbox: pointer batches for the users in it. */
export const inboxSubject = (p: number): string => `inbox.${p}`
/** A device's durable queue; `k` is the number of its stream, since a stream's subjects can't be told by a hash. */
export const queueSubject = (k: number, user: UserId, device: DeviceId): string =>
  `queue.${k}.${user}.${device}`
/** Heartbeats of hosts. */
export const BEAT = 'beat'

/** The stream of family LOG, INBOX or QUEUE that holds partition `p` of a cluster with `streams` of each. */
export const streamOf = (family: 'LOG' | 'INBOX' | 'QUEUE', p: number, streams: number): string =>
  `${family}_${p % streams}`
