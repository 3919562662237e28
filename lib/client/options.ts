import type { Fetch } from './api.ts'
import type { BackoffLimits } from './backoff.ts'
import type { Cache } from './cache.ts'
import type { Locks } from './locks.ts'
import type { Dial } from './socket.ts'
import type { Time } from './time.ts'

export type ClientOptions = {
  /** Address of the API, such as `https://chat.example`. */
  readonly api: string
  /** What is kept between runs. Default: nothing, in memory. */
  readonly cache?: Cache
  /** Needed with a cache that other tabs or processes can open: `webLocks(profile)` in browsers. */
  readonly locks?: Locks
  /**
   * While another client has this profile's outbox (contracts N6), `wait` keeps what is sent until it is free. `never`
   * does not even ask for it: this client only reads, and nothing it learns is stored.
   */
  readonly outbox?: 'wait' | 'never'
  /** Whose events are handed over: of all rooms, or of those with `room.follow()`. Default: all. */
  readonly follow?: 'all' | 'opened'
  /** Where a room begins that this device knows nothing of: with what is new, or with all that may be seen. Default: new. */
  readonly history?: 'new' | 'all'
  /**
   * Who keeps this device's place: itself, or the server in a durable queue. Default: cursor. A client without the
   * profile's outbox takes nothing out of the queue.
   */
  readonly delivery?: 'cursor' | 'queue'
  /** Addresses of gateways, instead of asking the API. */
  readonly gateways?: readonly string[]
  readonly backoff?: BackoffLimits
  readonly dial?: Dial
  readonly fetch?: Fetch
  readonly time?: Time
}
