import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './run.ts'

/** The release whose archives are pinned below. It may be older than the version that `go install` builds. */
export const RELEASE = '2.15.0'

/** SHA-256 of the official archives `nats-server-v<RELEASE>-<platform>.tar.gz`. */
const DIGESTS: Readonly<Record<string, string>> = {
  'linux-amd64': '5d2c51caca950333aba84911df7d377f826f3a59ec36061c6539105084f65c92',
  'linux-arm64': 'cdc208f5a3f42963a52b6ab06ef65626bb870315dc936e26ba571780c6351112',
  'linux-arm7': 'ec5f4689d017e07cfa18442e10da051c0f3f9dd2e7f4dc7cdb55a11f1303c952',
  'linux-s390x': 'ac50bf4adc8fa6db575ed9293417b6fbec746e71cc9d360aea5cd447e4207bfc',
  'linux-ppc64le': 'a402bf73f91f674735cc85aa0e7d06d5dfa3044b98cda6ea9937cfee4e05a266',
  'darwin-amd64': '5bd8b59ca5bf93fab3da2c5843cf564cd6e2e291e22ae3b861746e7ebe259b95',
  'darwin-arm64': 'e1c4e22d70bd44abfa0bcb3c16f7cf0c66f648c2e728c58924e8a1ce88913cc8',
}

const ARCHES: Readonly<Record<string, string>> = { x64: 'amd64', arm: 'arm7', ppc64: 'ppc64le' }

const DOWNLOAD_MS = 120_000
const UNPACK_MS = 60_000

/** The name of a platform in the release's archives, e.g. `linux-amd64`. */
export const platformName = (platform: string, arch: string): string =>
  `${platform}-${ARCHES[arch] ?? arch}`

export interface Archive {
  readonly url: string
  readonly sha256: string
  /** Where the binary lies inside the archive. */
  readonly member: string
}

/** The pinned archive for a platform; undefined when no digest is pinned for it. */
export const archiveFor = (platform: string, arch: string): Archive | undefined => {
  const name = platformName(platform, arch)
  const sha256 = DIGESTS[name]
  if (sha256 === undefined) return undefined
  const stem = `nats-server-v${RELEASE}-${name}`
  return {
    url: `https://github.com/nats-io/nats-server/releases/download/v${RELEASE}/${stem}.tar.gz`,
    sha256,
    member: `${stem}/nats-server`,
  }
}

/**
 * Downloads an archive into `dir`, checks it and unpacks its binary; returns the binary's path. Throws when the bytes
 * are not the pinned ones.
 */
export const fetchArchive = async (archive: Archive, dir: string): Promise<string> => {
  const response = await fetch(archive.url, { signal: AbortSignal.timeout(DOWNLOAD_MS) })
  if (!response.ok) throw new Error(`${archive.url} answered ${response.status}`)
  const bytes = Buffer.from(await response.arrayBuffer())
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (sha256 !== archive.sha256) {
    throw new Error(`${archive.url} has SHA-256 ${sha256}, not the pinned ${archive.sha256}`)
  }
  const file = join(dir, 'nats-server.tar.gz')
  await writeFile(file, bytes)
  await run('tar', ['-xzf', file, '-C', dir, archive.member], { timeoutMs: UNPACK_MS })
  return join(dir, archive.member)
}
