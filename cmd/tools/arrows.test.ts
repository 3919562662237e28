import { join } from 'node:path'
import t from 'tap'
import { AREAS, type AreaName, DRIVERS } from './arrow-rules.ts'
import { areaOf, checkArrows, checkRepository, readSources } from './arrows.ts'

const root = join(import.meta.dirname, '../..')
const manifest = {
  dependencies: Object.fromEntries(
    [
      '@nats-io/nats-core',
      'uWebSockets.js',
      'drizzle-orm',
      'postgres',
      '@electric-sql/pglite',
      'classic-level',
      'fastify',
      '@fastify/cors',
      'jose',
      'nanoid',
      '@noble/hashes',
    ].map((name) => [name, '1.0.0']),
  ),
  devDependencies: { tap: '1.0.0', 'fast-check': '1.0.0' },
}

/** The messages for one file of that text. */
const judge = (path: string, source: string): string[] =>
  checkArrows(new Map([[path, source]]), manifest).map((v) => `${v.line}: ${v.message}`)

t.test('every import of this repository points the right way', async (t) => {
  t.same(checkRepository(root), [])
  const areas = new Set([...readSources(root).keys()].map(areaOf))
  t.ok(areas.has('protocol') && areas.has('tools'), 'the sources were found')
})

t.test('the longest place decides the area', async (t) => {
  t.equal(areaOf('lib/ids.ts'), 'ids')
  t.equal(areaOf('lib/config.ts'), 'ground')
  t.equal(areaOf('lib/actor/behavior.ts'), 'behavior')
  t.equal(areaOf('lib/actor/partition.ts'), 'actor')
  t.equal(areaOf('actors/room/decide.ts'), 'actors')
  t.equal(areaOf('cmd/web/app.ts'), 'web')
  t.equal(areaOf('elsewhere/x.ts'), undefined)
})

t.test('forbidden arrows are found', async (t) => {
  const planted: [path: string, source: string, message: RegExp][] = [
    ['lib/ids.ts', "import { x } from './protocol/codec.ts'", /ids must not import protocol/],
    [
      'lib/protocol/a.ts',
      "import { x } from '../subjects.ts'",
      /protocol must not import subjects/,
    ],
    ['lib/bus/a.ts', "import { x } from '../store/state/state.ts'", /bus must not import store/],
    ['lib/store/a.ts', "import { x } from '../actor/host.ts'", /store must not import actor/],
    ['lib/client/a.ts', "import { x } from '../bus/bus.ts'", /client must not import bus/],
    ['lib/gateway/a.ts', "import { x } from '../actor/host.ts'", /gateway must not import actor/],
    ['lib/actor/a.ts', "import { x } from '../gateway/hub.ts'", /actor must not import gateway/],
    ['lib/actor/a.ts', "import { x } from '../../actors/room/room.ts'", /must not import actors/],
    ['lib/bus/a.ts', "import { x } from '../../nats/streams.ts'", /bus must not import nats/],
    ['lib/api/a.ts', "import { x } from '../../cmd/compose.ts'", /api must not import cmd/],
    ['lib/api/a.ts', "import { x } from '../../bench/load.ts'", /api must not import bench/],
    ['lib/log.ts', "import { x } from './bus/bus.ts'", /ground must not import bus/],
    ['lib/testing/a.ts', "import { x } from '../../actors/room/room.ts'", /must not import actors/],
    ['actors/room/a.ts', "import { x } from '../../lib/clock.ts'", /actors must not import clock/],
    [
      'actors/room/a.ts',
      "import { x } from '../../lib/actor/host.ts'",
      /actors must not import actor/,
    ],
    ['nats/launch.ts', "import { x } from '../lib/actor/host.ts'", /nats must not import actor/],
    ['cmd/up.ts', "import { x } from '../bench/load.ts'", /cmd must not import bench/],
    ['cmd/up.ts', "import { x } from '../lib/testing/servers.ts'", /cmd must not import testing/],
    ['cmd/web/app.ts', "import { x } from '../../lib/api/routes.ts'", /web must not import api/],
    ['lib/bus/nats.ts', "import { x } from './contract.ts'", /contract.ts is a test/],
    ['lib/bus/nats.ts', "import { x } from './nats.test.ts'", /nats.test.ts is a test/],
    [
      'lib/bus/nats.test.ts',
      "import { x } from '../../cmd/up.ts'",
      /test of bus must not import cmd/,
    ],
    ['lib/bus/nats.ts', "import { x } from '../../docs/x.ts'", /belongs to no area/],
    ['docs/x.ts', '', /belongs to no area/],
  ]
  for (const [path, source, message] of planted) {
    const found = judge(path, source)
    t.equal(found.length, 1, `${path}: ${source}`)
    t.match(found[0], message)
  }
})

t.test('however the import is written', async (t) => {
  const forms = [
    "import '../api/a.ts'",
    "import type { A } from '../api/a.ts'",
    "import a, { b } from '../api/a.ts'",
    "import * as a from '../api/a.ts'",
    "import {\n  a,\n  type B,\n} from '../api/a.ts'",
    "export { a } from '../api/a.ts'",
    "export * from '../api/a.ts'",
    "export type { A } from '../api/a.ts'",
    "const a = await import('../api/a.ts')",
    "type A = import('../api/a.ts').A",
    "const w = new Worker(new URL('../api/a.ts', import.meta.url))",
  ]
  for (const form of forms)
    t.match(judge('lib/bus/a.ts', form), [/1: bus must not import api/], form)
  t.same(
    judge(
      'lib/bus/a.ts',
      "// import '../api/a.ts'\n/* import '../api/a.ts'\nimport '../api/a.ts' */",
    ),
    [],
  )
  t.same(
    judge('lib/bus/a.ts', "\n\nimport '../api/a.ts'")[0]?.slice(0, 2),
    '3:',
    'the line is told',
  )
  t.match(judge('lib/bus/a.ts', 'await import(path)'), [/computed/])
  t.same(judge('cmd/e2e/a.ts', 'await import(path)'), [])
})

t.test('browser code keeps to the browser', async (t) => {
  for (const path of ['lib/client/a.ts', 'lib/protocol/a.ts', 'lib/ids.ts', 'cmd/web/a.ts']) {
    t.match(judge(path, "import { x } from 'node:fs'"), [/node:fs in code for browsers/], path)
    t.match(judge(path, "import { x } from 'fs'"), [/write node:fs/], path)
    t.match(judge(path, "import { x } from 'jose'"), [/jose is not for browsers/], path)
    t.match(judge(path, 'const a = Buffer.from(b)'), [/global of Node/], path)
    t.match(judge(path, 'if (x) {\n  process.exit(1)\n}'), [/2: a global of Node/], path)
    t.same(
      judge(path, "import { nanoid } from 'nanoid'\nthis.process(1)\n// Buffer.from"),
      [],
      path,
    )
  }
  t.same(judge('lib/client/file.node.ts', "import { x } from 'node:fs'\nBuffer.from(x)"), [])
  t.same(judge('lib/client/a.test.ts', "import { x } from 'node:fs'\nBuffer.from(x)"), [])
  t.match(judge('lib/client/a.ts', "import { x } from './file.node.ts'"), [/is for Node only/])
  t.same(judge('lib/client/a.ts', "await import('./file.node.ts')"), [])
})

t.test('actors are pure', async (t) => {
  for (const path of ['actors/room/a.ts', 'lib/actor/behavior.ts']) {
    t.match(judge(path, "import { x } from 'node:crypto'"), [/pure: no node:crypto/], path)
    t.match(judge(path, "import { nanoid } from 'nanoid'"), [/pure: no nanoid/], path)
    t.match(judge(path, 'const now = Date.now()'), [/time, chance or I\/O/], path)
    t.match(judge(path, 'const x = Math.random()'), [/time, chance or I\/O/], path)
    t.same(judge(path, 'const at = clock.now() + this.fetch(1)'), [], path)
  }
  t.same(judge('actors/room/a.ts', "import type { B } from '../../lib/actor/behavior.ts'"), [])
  t.same(judge('actors/room/a.test.ts', "import fc from 'fast-check'\nMath.random()"), [])
})

t.test('each driver has its place', async (t) => {
  const driver = (name: string) => (name.endsWith('/*') ? name.replace('*', 'x') : name)
  for (const [name, places] of Object.entries(DRIVERS)) {
    const all = { dependencies: { [driver(name)]: '1.0.0' } }
    const source = `import { x } from '${driver(name)}'`
    const check = (path: string) => checkArrows(new Map([[path, source]]), all)
    for (const place of places)
      t.same(check(place.endsWith('/') ? `${place}a.ts` : place), [], name)
    t.match(check('lib/service.ts'), [{ message: /is imported in .* only/ }], name)
    t.same(check('lib/testing/servers.ts'), [], `${name} in lib/testing`)
    t.same(check('lib/gateway/x.it.ts'), [], `${name} in a test`)
  }
  t.match(judge('lib/gateway/hub.ts', "import uWS from 'uWebSockets.js'"), [
    /lib\/gateway\/uws.ts only/,
  ])
  t.match(judge('lib/bus/a.ts', "import { x } from 'left-pad'"), [/not in the dependencies/])
  t.match(judge('lib/bus/a.ts', "import t from 'tap'"), [/not in the dependencies/])
  t.match(judge('lib/bus/a.test.ts', "import { x } from 'left-pad'"), [/not in package.json/])
})

t.test('what is free is free', async (t) => {
  for (const [path, source] of [
    ['lib/testing/servers.ts', "import { launch } from '../../nats/launch.ts'"],
    ['lib/actor/a.it.ts', "import { room } from '../../actors/room/room.ts'"],
    ['lib/actor/a.test.ts', "import { eventually } from '../testing/eventually.ts'"],
    ['lib/bus/contract.ts', "import t from 'tap'"],
    ['cmd/e2e/kill.ts', "import { up } from '../up.ts'"],
    ['bench/run.ts', "import { room } from '../actors/room/room.ts'"],
    ['cmd/up.ts', "import { room } from '../actors/room/room.ts'"],
    ['lib/gateway/handlers/send.ts', "import { bus } from '../../bus/bus.ts'"],
  ] as const) {
    t.same(judge(path, source), [], path)
  }
})

t.test('files keep their form', async (t) => {
  const long = (lines: number) => 'export {}\n'.repeat(lines)
  t.same(judge('lib/bus/a.ts', long(400)), [])
  t.match(judge('lib/bus/a.ts', long(401)), [/401 lines/])
  t.same(judge('lib/bus/a.test.ts', long(401)), [])
  t.match(judge('lib/bus/a.ts', 'const a = 1\nexport enum A { x }'), [/2: enum/])
  t.match(judge('lib/bus/a.ts', 'const enum A { x }'), [/enum/])
  t.match(judge('lib/bus/a.ts', 'export namespace A {}'), [/namespace/])
  t.same(judge('lib/bus/a.ts', 'const e = enumerate(x) // enum A'), [])
  t.match(judge('lib/bus/a.ts', 'const a = process.env.A'), [/reads the environment/])
  t.same(judge('lib/config.ts', 'const a = process.env.A'), [])
  t.same(judge('cmd/up.ts', 'const a = process.env.A'), [])
})

t.test('the rules contain no loop', async (t) => {
  const loops: string[] = []
  const visit = (name: AreaName, path: AreaName[]): void => {
    if (path.includes(name)) loops.push([...path, name].join(' → '))
    else for (const next of AREAS[name].sees) if (next !== '*') visit(next, [...path, name])
  }
  for (const name of Object.keys(AREAS) as AreaName[]) visit(name, [])
  t.same(loops, [])
})
