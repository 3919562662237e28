/** Many accounts at once, without a password: for benchmarks and tests, which cannot pay 45 ms each. */
import { type DeviceId, newUserId, type UserId } from '../ids.ts'
import type { DirectoryStore, NewAccount } from '../store/directory/directory.ts'
import type { Tokens } from '../tokens/tokens.ts'
import type { ApiParts } from './parts.ts'
import { NO_PASSWORD } from './passwords.ts'
import { freshDevice } from './sessions.ts'

export type SeededUser = {
  readonly user: UserId
  readonly device: DeviceId
  readonly handle: string
  readonly accessToken: string
  /** Cheaper to verify than the access token, and valid longer. */
  readonly resumeToken: string
}

export type SeedParts = Pick<ApiParts, 'clock' | 'config'> & {
  readonly directory: Pick<DirectoryStore, 'seed'>
  readonly tokens: Tokens
  /** Given, it returns only when every record is confirmed: the users can say `hello` at once. */
  readonly outbox?: { settle(): Promise<void> }
}

const AT_ONCE = 2_000

/** Makes users `<prefix>0` … `<prefix><count − 1>`. Errors: `exists` when one of the handles is taken. */
export const seed = async (
  parts: SeedParts,
  count: number,
  prefix: string,
): Promise<SeededUser[]> => {
  const users: SeededUser[] = []
  for (let from = 0; from < count; from += AT_ONCE) {
    const accounts = Array.from({ length: Math.min(AT_ONCE, count - from) }, (_, at) =>
      accountOf(parts, `${prefix}${from + at}`),
    )
    await parts.directory.seed(accounts, parts.clock.now())
    for (const { user, handle, device } of accounts) {
      const identity = { user, device: device.device, generation: 1 }
      const { token } = await parts.tokens.signAccess(identity)
      const resumeToken = parts.tokens.signResume(identity)
      users.push({ user, device: device.device, handle, accessToken: token, resumeToken })
    }
  }
  await parts.outbox?.settle()
  return users
}

const accountOf = (parts: SeedParts, handle: string): NewAccount => ({
  user: newUserId(),
  handle,
  name: handle,
  passwordHash: NO_PASSWORD,
  device: freshDevice(parts, 'seeded').row,
})
