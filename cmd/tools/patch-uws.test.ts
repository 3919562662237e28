import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
// biome-ignore lint/correctness/useImportExtensions: it takes the declarations for the module
import { compareVersions, patchPackage, patchUws, runningGlibc } from './patch-uws.mjs'

const require = createRequire(import.meta.url)
const installed = dirname(require.resolve('uWebSockets.js'))
const abi = process.versions.modules
const here = `uws_linux_${process.arch}_${abi}.node`
const glibc = runningGlibc()
const BOUND: Record<string, string[]> = {
  x64: ['__isoc23_sscanf', '__isoc23_strtol', '__isoc23_strtoul'],
  arm64: ['__isoc23_strtol', '__isoc23_strtoul'],
}

/**
 * What npm delivers, made from what is installed (cured or not): the cure undone, which shows
 * whether the cure changes only what it says. Uses no code of the cure.
 */
function pristine(file: string): Buffer {
  const bytes = readFileSync(join(installed, file))
  const tables = tablesOf(bytes)
  const fresh = tables.version('GLIBC_2.38')
  if ((bytes.readUInt16LE(fresh.at + 4) & 2) === 0) return bytes
  bytes.writeUInt16LE(bytes.readUInt16LE(fresh.at + 4) & ~2, fresh.at + 4)
  const undone = new Set<number>()
  for (const { symbol, versym } of tables.symbols()) {
    const name = tables.dynstr + bytes.readUInt32LE(symbol)
    if (bytes.toString('latin1', name - 9, name) !== '__isoc23_') continue
    if (undone.has(name)) continue // a plain strtol besides, whose name the linker put in the other
    undone.add(name)
    bytes.writeUInt32LE(bytes.readUInt32LE(symbol) - 9, symbol)
    bytes.writeUInt16LE(fresh.index, versym)
  }
  return bytes
}

function tablesOf(bytes: Buffer) {
  const sectionAt = (i: number) => Number(bytes.readBigUInt64LE(40)) + i * 64
  const find = (type: number) => {
    for (let i = 0; ; i++) if (bytes.readUInt32LE(sectionAt(i) + 4) === type) return sectionAt(i)
  }
  const offset = (at: number) => Number(bytes.readBigUInt64LE(at + 24))
  const size = (at: number) => Number(bytes.readBigUInt64LE(at + 32))
  const dynsym = find(11)
  const versym = find(0x6fffffff)
  const verneed = find(0x6ffffffe)
  const dynstr = offset(sectionAt(bytes.readUInt32LE(dynsym + 40)))
  return {
    dynstr,
    /** An Elf64_Vernaux by its name. */
    version(name: string) {
      for (let at = offset(verneed); at < offset(verneed) + size(verneed); at += 16) {
        const start = dynstr + bytes.readUInt32LE(at + 8)
        if (bytes.toString('latin1', start, start + name.length + 1) === `${name}\0`) {
          return { at, index: bytes.readUInt16LE(at + 6) }
        }
      }
      throw new Error(`no ${name}`)
    },
    symbols: () =>
      Array.from({ length: size(versym) / 2 }, (_, i) => ({
        symbol: offset(dynsym) + 24 * i,
        versym: offset(versym) + 2 * i,
      })),
  }
}

function differences(a: Buffer, b: Buffer): number[] {
  const at: number[] = []
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) at.push(i)
  return at
}

/** Loads a binary in a process of its own; undefined, or why it doesn't load. */
function loadError(path: string): string | undefined {
  try {
    const script = 'const u = require(process.argv[1]); if (typeof u.App !== "function") throw 1'
    execFileSync(process.execPath, ['-e', script, path], { stdio: 'pipe', timeout: 20_000 })
    return undefined
  } catch (error) {
    return String(error)
  }
}

t.test('versions compare as numbers', async (t) => {
  t.equal(compareVersions('2.36', '2.38'), -1)
  t.equal(compareVersions('2.4', '2.38'), -1)
  t.equal(compareVersions('2.38', '2.38'), 0)
  t.equal(compareVersions('3', '2.38'), 1)
  t.equal(compareVersions('2.38.1', '2.38'), 1)
})

for (const arch of ['x64', 'arm64']) {
  const file = `uws_linux_${arch}_${abi}.node`
  t.test(`${file} is cured once, in its three tables only`, async (t) => {
    const before = pristine(file)
    const copy = Buffer.from(before)
    const cure = patchUws(before)
    t.same(cure.patched.toSorted(), BOUND[arch])
    t.equal(compareVersions(cure.needs, '2.38'), -1)
    t.ok(before.equals(copy), 'the input is left alone')
    t.equal(cure.bytes.length, before.length)
    const changed = differences(before, cure.bytes).length
    t.ok(changed > 3 && changed <= 1 + 3 * 6, `${changed} bytes changed`)

    const again = patchUws(cure.bytes)
    t.same(again.patched, [])
    t.ok(again.bytes.equals(cure.bytes), 'a second cure changes nothing')
  })
}

t.test('a cured binary loads', { skip: glibc ? false : 'no glibc here' }, async (t) => {
  const folder = t.testdir()
  const path = join(folder, here)
  writeFileSync(path, pristine(here))
  const old = compareVersions(glibc ?? '0', '2.38') < 0
  t.match(loadError(path), old ? /GLIBC_2\.38/ : undefined)
  t.match(
    patchPackage(folder, { glibc: '2.37', arch: process.arch }),
    `cured for glibc 2.37: ${here}`,
  )
  t.equal(loadError(path), undefined)
  t.match(patchPackage(folder, { glibc: '2.37', arch: process.arch }), 'already cured')
  t.same(readdirSync(folder), [here], 'nothing else is left behind')
})

t.test('the installed package loads here', async (t) => {
  t.equal(loadError('uWebSockets.js'), undefined)
})

t.test('nothing is touched where nothing is needed', async (t) => {
  const folder = t.testdir()
  const path = join(folder, here)
  writeFileSync(path, pristine(here))
  for (const machine of [
    { glibc: undefined, arch: process.arch },
    { glibc: '2.38', arch: process.arch },
    { glibc: '2.41', arch: process.arch },
    { glibc: '2.36', arch: 'riscv64' },
  ]) {
    t.match(patchPackage(folder, machine), 'nothing to do')
    t.ok(readFileSync(path).equals(pristine(here)))
  }
})

t.test('a package that is absent is no error', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'parley-')) // out of reach of our node_modules
  t.teardown(() => rmSync(folder, { recursive: true }))
  copyFileSync(join(import.meta.dirname, 'patch-uws.mjs'), join(folder, 'patch-uws.mjs'))
  t.equal(execFileSync(process.execPath, [join(folder, 'patch-uws.mjs')], { encoding: 'utf8' }), '')
})

t.test('what this cure does not cover is refused', async (t) => {
  const stranger = pristine(here)
  const tables = tablesOf(stranger)
  const other = tables.symbols().find(({ symbol, versym }) => {
    const name = tables.dynstr + stranger.readUInt32LE(symbol)
    return (
      stranger.readUInt16LE(versym) > 1 &&
      stranger.toString('latin1', name, name + 7) === 'memcpy\0'
    )
  })
  stranger.writeUInt16LE(tables.version('GLIBC_2.38').index, other!.versym)

  await t.test('another symbol of glibc 2.38', async (t) => {
    t.throws(() => patchUws(stranger), { message: /needs memcpy of GLIBC_2\.38/ })
  })
  await t.test('files of another kind', async (t) => {
    t.throws(() => patchUws(Buffer.from('#!/bin/sh\n')), { message: /not a 64-bit/ })
    const mac = readdirSync(installed).find((file) => file.startsWith('uws_darwin_'))
    t.throws(() => patchUws(readFileSync(join(installed, mac!))), { message: /not a 64-bit/ })
    const machine = pristine(here)
    machine.writeUInt16LE(243, 18)
    t.throws(() => patchUws(machine), { message: /neither an x64 nor an arm64/ })
  })
  await t.test('a file that is cut off, wherever', async (t) => {
    const whole = pristine(here)
    for (const part of [0, 3, 63, 64, 4096, whole.length >> 1, whole.length - 1]) {
      t.throws(() => patchUws(whole.subarray(0, part)), { name: 'PatchRefused' }, `${part} bytes`)
    }
  })
  await t.test('in a package, by the name of the file, which stays as it was', async (t) => {
    const folder = t.testdir({ [here]: stranger })
    t.throws(() => patchPackage(folder, { glibc: '2.36', arch: process.arch }), {
      name: 'PatchRefused',
      message: new RegExp(`^${here}: .*memcpy`),
    })
    t.ok(readFileSync(join(folder, here)).equals(stranger))
  })
  await t.test('a glibc too old even then', async (t) => {
    const folder = t.testdir({ [here]: pristine(here) })
    t.throws(() => patchPackage(folder, { glibc: '2.31', arch: process.arch }), {
      message: /needs glibc 2\.\d+, this machine has 2\.31/,
    })
    t.ok(readFileSync(join(folder, here)).equals(pristine(here)))
  })
})
