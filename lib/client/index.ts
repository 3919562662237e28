/** The client of Parley, for browsers and Node. What only Node can do is in index.node.ts. */
export { type ErrorCode, ParleyError } from '../errors.ts'
export {
  type DeviceId,
  dmId,
  parseRoomId,
  parseUserId,
  type RoomId,
  type UserId,
} from '../ids.ts'
export type { Login, Person, Registration } from './api.ts'
export type { Patience } from './ask.ts'
export type { Account, Cache } from './cache.ts'
export { Client, type Who } from './client.ts'
export type { Command } from './command.ts'
export type { Message, Role, RoomEvent } from './events.ts'
export { type Locks, webLocks } from './locks.ts'
export { memoryCache } from './memory-cache.ts'
export type { ClientOptions } from './options.ts'
export type { Settled } from './outbox.ts'
export type { Room, RoomInfo } from './room.ts'
export type { ClientEvents } from './rooms.ts'
export type { Ack } from './slot.ts'
export type { State } from './state.ts'
export type { Summary } from './summary.ts'
