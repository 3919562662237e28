import { execFile } from 'node:child_process'

export interface Version {
  readonly major: number
  readonly minor: number
  readonly patch: number
  readonly text: string
}

/** The oldest nats-server that Parley works with. */
export const OLDEST = { major: 2, minor: 12 } as const

const CHECK_MS = 10_000

/** Reads what `nats-server --version` prints, e.g. `nats-server: v2.15.2`. */
export const parseVersion = (output: string): Version | undefined => {
  const match = /\bv?(\d+)\.(\d+)\.(\d+)/.exec(output)
  if (match === null) return undefined
  const [, major, minor, patch] = match
  return {
    major: Number(major),
    minor: Number(minor),
    patch: Number(patch),
    text: `${major}.${minor}.${patch}`,
  }
}

export const isNewEnough = ({ major, minor }: Version): boolean =>
  major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor)

/** The version of the nats-server at `path`, or the reason why it is none that can be used. */
export const checkServer = (path: string): Promise<{ version: string } | { reason: string }> =>
  new Promise((resolve) => {
    execFile(path, ['--version'], { timeout: CHECK_MS }, (error, stdout) => {
      if (error !== null)
        return resolve({ reason: `${path} does not run: ${error.message.trim()}` })
      const version = parseVersion(stdout)
      if (version === undefined) return resolve({ reason: `${path} --version printed no version` })
      if (!isNewEnough(version)) {
        const oldest = `${OLDEST.major}.${OLDEST.minor}`
        return resolve({ reason: `${path} is ${version.text}; Parley needs ${oldest} or newer` })
      }
      resolve({ version: version.text })
    })
  })
