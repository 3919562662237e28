import type { Refusal } from '../errors.ts'
import type { DeviceId, UserId } from '../ids.ts'

/** Who a token speaks for. */
export type Identity = {
  readonly user: UserId
  readonly device: DeviceId
  /** Token generation of the user: the user's actor admits only the current one (contracts I6). */
  readonly generation: number
  /** When the token ends, ms since 1970. */
  readonly expires: number
}

/** Access tokens take a promise, resume tokens (HMAC) need none. Never throws: what it can't read it refuses. */
export interface Verifier {
  verify(token: string): Promise<Identity | Refusal> | Identity | Refusal
}
