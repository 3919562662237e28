import { execFileSync } from 'node:child_process'
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { build, retarget } from './build.ts'
import { closureOf, hasClient, manifestOf } from './sdk-package.ts'

const root = join(import.meta.dirname, '../..')
const exact = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies

/** A small house of the same shape: a client, what it reaches, and a server that it must not. */
const HOUSE = {
  'package.json': JSON.stringify({
    name: 'tiny',
    version: '1.2.3',
    license: 'Apache-2.0',
    type: 'module',
    engines: { node: '>=22.18' },
    dependencies: {
      nanoid: exact.nanoid,
      '@noble/hashes': exact['@noble/hashes'],
      fastify: '5.0.0',
    },
  }),
  'tsconfig.json': readFileSync(join(root, 'tsconfig.json'), 'utf8'),
  'tsconfig.build.json': readFileSync(join(root, 'tsconfig.build.json'), 'utf8'),
  LICENSE: 'text',
  lib: {
    'ids.ts': "import { nanoid } from 'nanoid'\nexport const id = (): string => nanoid(5)\n",
    'log.ts': 'export const log = 1\n',
    protocol: {
      'codec.ts':
        "import { sha256 } from '@noble/hashes/sha2.js'\nexport type Bytes = Uint8Array\nexport const hash = (b: Bytes): Bytes => sha256(b)\n",
      'codec.test.ts': "import t from 'tap'\nt.pass('x')\n",
      'records.ts': 'export const unreached = 1\n',
    },
    client: {
      'index.ts':
        "import type { Bytes } from '../protocol/codec.ts'\nimport { id } from '../ids.ts'\nexport const connect = async (): Promise<Bytes> => {\n  const { hash } = await import('../protocol/codec.ts')\n  return hash(new TextEncoder().encode(id()))\n}\n",
      'index.node.ts': "export { read } from './file.node.ts'\nexport * from './index.ts'\n",
      'file.node.ts':
        "import { readFileSync } from 'node:fs'\nexport const read = (path: string): string => readFileSync(path, 'utf8')\nexport const self = new URL('./index.ts', import.meta.url)\n",
    },
    store: { migrations: { '0001.sql': 'select 1' } },
  },
}

/** Puts a built package where only its own dependencies are, as npm would, and runs code there. */
function install(t: Test, client: string): (code: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'parley-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const modules = join(folder, 'node_modules')
  const manifest = JSON.parse(readFileSync(join(client, 'package.json'), 'utf8'))
  cpSync(client, join(modules, manifest.name), { recursive: true })
  for (const name of Object.keys(manifest.dependencies)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }
  return (code) => {
    writeFileSync(join(folder, 'consumer.mts'), code)
    const node = (...args: string[]) =>
      execFileSync(process.execPath, args, {
        cwd: folder,
        encoding: 'utf8',
        timeout: 60_000,
      })
    const options = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--skipLibCheck',
      'false',
    ]
    node(
      join(root, 'node_modules/typescript/lib/tsc.js'),
      ...options,
      '--lib',
      'es2024,dom',
      '--types',
      '',
      'consumer.mts',
    )
    return node('consumer.mts').trim()
  }
}

t.test('a built client runs with its own dependencies only, types included', async (t) => {
  const house = t.testdir(HOUSE)
  const out = join(house, 'dist')
  build(house, out)
  const client = join(out, 'client-package')
  t.same(
    globSync('**/*.*', { cwd: client }).sort(),
    [
      ...['client/file.node', 'client/index', 'client/index.node', 'ids', 'protocol/codec'].flatMap(
        (stem) => [`lib/${stem}.d.ts`, `lib/${stem}.js`],
      ),
      'package.json',
    ].sort(),
  )
  t.same(JSON.parse(readFileSync(join(client, 'package.json'), 'utf8')), {
    name: '@tiny/client',
    version: '1.2.3',
    description: 'The client of Parley, for browsers and Node',
    license: 'Apache-2.0',
    type: 'module',
    sideEffects: false,
    engines: { node: '>=22.18' },
    exports: {
      '.': { types: './lib/client/index.d.ts', default: './lib/client/index.js' },
      './node': { types: './lib/client/index.node.d.ts', default: './lib/client/index.node.js' },
      './package.json': './package.json',
    },
    files: ['lib'],
    dependencies: { '@noble/hashes': exact['@noble/hashes'], nanoid: exact.nanoid },
  })
  t.equal(readFileSync(join(client, 'LICENSE'), 'utf8'), 'text')
  const run = install(t, client)
  t.equal(
    run(
      "import { connect } from '@tiny/client'\nimport { read } from '@tiny/client/node'\nconst b: Uint8Array = await connect()\nconsole.log(b.length, typeof read)",
    ),
    '32 function',
  )
  t.throws(
    () => run("import { nothing } from '@tiny/client'\nnothing()"),
    'wrong types do not compile',
  )

  t.equal(readFileSync(join(out, 'lib/store/migrations/0001.sql'), 'utf8'), 'select 1')
  t.match(
    readFileSync(join(out, 'lib/client/file.node.js'), 'utf8'),
    "new URL('./index.js', import",
  )
  t.same(globSync('**/*.test.*', { cwd: out }), [], 'tests are not shipped')
})

t.test('what a client must not have is refused, with the file that has it', async (t) => {
  const plant = (path: string, text: string) => {
    const house = t.testdir(HOUSE)
    writeFileSync(join(house, path), text)
    return () => closureOf(house, ['lib/client/index.ts', 'lib/client/index.node.ts'])
  }
  const planted: [path: string, text: string, message: RegExp][] = [
    ['lib/client/index.ts', "import { log } from '../log.ts'", /index.ts imports lib\/log.ts/],
    ['lib/client/index.ts', "import type { L } from '../log.ts'", /index.ts imports lib\/log.ts/],
    ['lib/protocol/codec.ts', "import f from 'fastify'", /codec.ts imports fastify, which is not/],
    ['lib/ids.ts', "await import('@nats-io/nats-core')", /ids.ts imports @nats-io\/nats-core/],
    ['lib/ids.ts', "import { x } from 'node:crypto'", /ids.ts imports node:crypto/],
  ]
  for (const [path, text, message] of planted) {
    t.throws(plant(path, text), { name: 'SdkRefused', message })
  }
  t.doesNotThrow(plant('lib/log.ts', "import f from 'fastify'"), 'what it does not reach is free')
})

t.test('only exact versions are published', async (t) => {
  const manifest = (version: string | undefined) => () =>
    manifestOf(
      {
        name: 'a',
        version: '1.0.0',
        license: 'x',
        engines: {},
        dependencies: version ? { nanoid: version } : {},
      },
      ['nanoid'],
      ['lib/client/index.ts'],
    )
  t.same(manifest('6.0.2')().dependencies, { nanoid: '6.0.2' })
  t.same(Object.keys(manifest('6.0.2')().exports), ['.', './package.json'])
  for (const version of ['^6.0.2', '~6.0.2', '6', '*', 'latest', undefined]) {
    const refusal = { name: 'SdkRefused', message: /no exact version of nanoid/ }
    t.throws(manifest(version), refusal, `${version}`)
  }
})

t.test('built text points at built files', async (t) => {
  t.equal(
    retarget(
      'a.d.ts',
      "import { a } from './a.ts'\nimport './b.ts'\nexport type C = import('../c.ts').C",
    ),
    "import { a } from './a.js'\nimport './b.js'\nexport type C = import('../c.js').C",
  )
  t.equal(
    retarget('a.js', "new URL('./w.ts', import.meta.url)"),
    "new URL('./w.js', import.meta.url)",
  )
  t.equal(retarget('a.js', "new URL('./w.ts', base)"), "new URL('./w.ts', base)")
})

t.test(
  'the client of this repository',
  { skip: !hasClient(root) && 'not written yet' },
  async (t) => {
    const out = join(t.testdir(), 'dist')
    build(root, out)
    const run = install(t, join(out, 'client-package'))
    const code = "import * as client from '@parley/client'\nconsole.log(Object.keys(client).length)"
    t.ok(Number(run(code)) > 0)
  },
)
