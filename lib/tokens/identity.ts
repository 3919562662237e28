import type { DeviceId, UserId } from '../ids.ts'

/** Whom a token speaks for. Tokens of an older generation of the user are void. */
export type Identity = {
  readonly user: UserId
  readonly device: DeviceId
  readonly generation: number
}
/** `expires` in ms since 1970. */
export type Verified = Identity & { readonly expires: number }
