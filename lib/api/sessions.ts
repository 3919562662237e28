import type { DeviceId } from '../ids.ts'
import { newDeviceId } from '../ids.ts'
import type { Grant, NewDevice, Profile, RefreshRow } from '../store/directory/directory.ts'
import type { RefreshToken } from '../tokens/refresh.ts'
import type { ApiParts } from './parts.ts'

type Parts = Pick<ApiParts, 'tokens' | 'clock' | 'config'>

/** A refresh token as the directory keeps it. */
export const rowOf = (parts: Parts, { n, hash }: RefreshToken): RefreshRow => ({
  n,
  hash,
  expires: parts.clock.now() + parts.config.refreshTtlMs,
})

/** A device that is about to log in, and its first refresh token. */
export const freshDevice = (
  parts: Parts,
  name: string,
  device: DeviceId = newDeviceId(),
): { row: NewDevice; refresh: RefreshToken } => {
  const refresh = parts.tokens.firstRefresh(device)
  return { row: { device, name, refresh: rowOf(parts, refresh) }, refresh }
}

export const tokensReply = async (
  parts: Parts,
  grant: Grant,
  refresh: RefreshToken,
  { expires }: RefreshRow,
) => {
  const access = await parts.tokens.signAccess(grant)
  return {
    user: grant.user,
    device: grant.device,
    accessToken: access.token,
    accessExpires: access.expires,
    refreshToken: refresh.token,
    refreshExpires: expires,
  }
}

export const sessionReply = async (
  parts: Parts,
  grant: Grant,
  made: { row: NewDevice; refresh: RefreshToken },
  { handle, name }: Pick<Profile, 'handle' | 'name'>,
) => ({
  ...(await tokensReply(parts, grant, made.refresh, made.row.refresh)),
  handle,
  name,
})
