/**
 * The direction of dependencies, as data. `arrows.ts` reads it; to change the house, change this.
 *
 *   ids, errors, clock ← protocol, subjects ← bus, store, client ← actor, gateway, api, projections ← cmd
 */
export type Area = {
  /** Folders (`lib/bus/`) or files (`lib/ids.ts`); the longest match wins. */
  where: readonly string[]
  /** The areas it may import, besides itself. `*` means all. */
  sees: readonly (AreaName | '*')[]
  /** Runs in a browser too: no `node:` builtin or Node global, save in `*.node.ts`. */
  browser?: true
  /** No builtin at all, and no package. */
  pure?: true
  /** Not shipped: any package, drivers and devDependencies included, and lib/testing. */
  free?: true
}

export type AreaName =
  | 'ids'
  | 'errors'
  | 'clock'
  | 'protocol'
  | 'subjects'
  | 'ground'
  | 'bus'
  | 'store'
  | 'client'
  | 'behavior'
  | 'actor'
  | 'gateway'
  | 'api'
  | 'projections'
  | 'testing'
  | 'actors'
  | 'nats'
  | 'cmd'
  | 'web'
  | 'e2e'
  | 'tools'
  | 'bench'

const WORDS = ['ids', 'errors', 'clock'] as const
const BASE = [...WORDS, 'protocol', 'subjects', 'ground'] as const

export const AREAS: Record<AreaName, Area> = {
  ids: { where: ['lib/ids.ts'], sees: [], browser: true },
  errors: { where: ['lib/errors.ts'], sees: [], browser: true },
  clock: { where: ['lib/clock.ts'], sees: [], browser: true },
  protocol: { where: ['lib/protocol/'], sees: WORDS, browser: true },
  subjects: { where: ['lib/subjects.ts'], sees: ['ids'] },
  /** config, log, metrics, service: what every process has. */
  ground: { where: ['lib/'], sees: [...WORDS, 'protocol', 'subjects'] },
  bus: { where: ['lib/bus/'], sees: BASE },
  store: { where: ['lib/store/'], sees: BASE },
  client: { where: ['lib/client/'], sees: [...WORDS, 'protocol'], browser: true },
  behavior: { where: ['lib/actor/behavior.ts'], sees: ['ids', 'errors', 'protocol'], pure: true },
  actor: { where: ['lib/actor/'], sees: [...BASE, 'bus', 'store', 'behavior'] },
  gateway: { where: ['lib/gateway/'], sees: [...BASE, 'bus', 'store'] },
  api: { where: ['lib/api/'], sees: [...BASE, 'bus', 'store'] },
  projections: { where: ['lib/projections/'], sees: [...BASE, 'bus', 'store'] },
  testing: {
    where: ['lib/testing/'],
    sees: [
      ...BASE,
      'bus',
      'store',
      'client',
      'behavior',
      'actor',
      'gateway',
      'api',
      'projections',
      'nats',
    ],
    free: true,
  },
  actors: { where: ['actors/'], sees: ['ids', 'errors', 'protocol', 'behavior'], pure: true },
  nats: { where: ['nats/'], sees: [...BASE, 'bus'] },
  cmd: {
    where: ['cmd/'],
    sees: [
      ...BASE,
      'bus',
      'store',
      'client',
      'behavior',
      'actor',
      'gateway',
      'api',
      'projections',
      'actors',
      'nats',
    ],
  },
  web: { where: ['cmd/web/'], sees: [...WORDS, 'protocol', 'client'], browser: true },
  e2e: { where: ['cmd/e2e/'], sees: ['*'], free: true },
  tools: { where: ['cmd/tools/'], sees: ['*'], free: true },
  bench: { where: ['bench/'], sees: ['*'], free: true },
}

/** One place per driver: only these folders and files import the package. A trailing `/*` is a scope. */
export const DRIVERS: Record<string, readonly string[]> = {
  '@nats-io/*': ['lib/bus/', 'nats/'],
  'uWebSockets.js': ['lib/gateway/uws.ts'],
  'drizzle-orm': ['lib/store/postgres/', 'lib/store/directory/'],
  postgres: ['lib/store/postgres/', 'lib/store/directory/'],
  '@electric-sql/*': ['lib/store/postgres/', 'lib/store/directory/'],
  'classic-level': ['lib/store/level/'],
  'cassandra-driver': ['lib/store/cql/'],
  fastify: ['lib/api/'],
  '@fastify/*': ['lib/api/'],
  '@node-rs/argon2': ['lib/api/'],
  'web-push': ['lib/projections/'],
  pino: ['lib/log.ts'],
  'prom-client': ['lib/metrics.ts'],
  commander: ['cmd/'],
}

/** What may reach a browser. The SDK package depends on nothing else (sdk-package.ts). */
export const BROWSER_PACKAGES: readonly string[] = [
  '@noble/hashes',
  'lru-cache',
  'msgpackr',
  'nanoid',
  'typebox',
]

/** Tests may import any package, builtin, lib/testing, and all of lib, actors and nats. */
export const TEST_SEES: readonly AreaName[] = [...AREAS.cmd.sees, 'testing'] as AreaName[]

/** `*.test.ts`, `*.it.ts`, and the contracts that several implementations share. */
export const isTest = (path: string): boolean =>
  /\.(test|it)\.ts$/.test(path) || /(^|[/-])contract\.ts$/.test(path)

/** Single arrows against the rules, each with its reason. Paths begin like `where`. */
export const EXCEPTIONS: readonly { from: string; to: string; why: string }[] = []

export const MOST_LINES = 400
export const LINES_COUNTED = ['lib/', 'actors/', 'cmd/', 'nats/'] as const

export type TextRule = {
  pattern: RegExp
  message: string
  /** Whether the rule holds for a file that isn't a test. */
  applies: (path: string, area: Area) => boolean
}

export const TEXT_RULES: readonly TextRule[] = [
  {
    pattern: /^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?enum\s+\w+/gm,
    message: 'enum: use an `as const` table, whose keys are the type',
    applies: () => true,
  },
  {
    pattern: /^\s*(?:export\s+)?(?:declare\s+)?namespace\s+\w+/gm,
    message: 'namespace: Node strips types, it compiles nothing',
    applies: () => true,
  },
  {
    pattern: /\bprocess\.env\b/g,
    message: 'reads the environment: lib/config.ts does, and passes the result down',
    applies: (path, area) => /^(lib|actors)\//.test(path) && path !== 'lib/config.ts' && !area.free,
  },
  {
    pattern: /(?<![.\w'-])(?:Buffer|process|setImmediate|require|__dirname)\s*[.(]/g,
    message: 'a global of Node in code for browsers',
    applies: (path, area) => area.browser === true && !path.endsWith('.node.ts'),
  },
  {
    pattern:
      /(?<![.\w'-])(?:Date\.now|Math\.random|performance\.now|setTimeout|setInterval|fetch)\s*\(/g,
    message: 'time, chance or I/O in an actor: they come in as arguments',
    applies: (_path, area) => area.pure === true,
  },
]
