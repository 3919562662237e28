// Cures the uWebSockets.js binaries of npm on a glibc older than 2.38 (Debian 12, Ubuntu 22.04), at
// install time. They were compiled against C23 headers, which turn sscanf, strtol and strtoul into
// `__isoc23_` variants that only glibc 2.38 has. The C23 variants differ only in accepting the
// prefix 0b, so the plain functions do. The cure edits three tables of the ELF file:
//
//   .gnu.version_r  GLIBC_2.38 becomes a weak need: the loader no longer insists on it
//   .dynsym         st_name += 9, which points behind `__isoc23_` in the same string
//   .gnu.version    the symbol's version becomes the oldest of that architecture
//
// It is plain JavaScript for whatever Node runs `npm ci`, and does nothing where nothing is needed:
// another platform, a newer glibc, an installed package already cured, or none at all.
import { readdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PREFIX = '__isoc23_'
const CURABLE = new Set(['sscanf', 'strtol', 'strtoul'].map((name) => PREFIX + name))
const NEEDED = 'GLIBC_2.38'
const VER_FLG_WEAK = 2
const MACHINES = {
  62: { arch: 'x64', oldest: 'GLIBC_2.2.5' },
  183: { arch: 'arm64', oldest: 'GLIBC_2.17' },
}

export class PatchRefused extends Error {
  name = 'PatchRefused'
}

/** -1, 0 or 1, as `a` is older than, the same as or newer than `b` (`2.36`, `2.4`). */
export function compareVersions(a, b) {
  const x = a.split('.').map(Number)
  const y = b.split('.').map(Number)
  for (let i = 0; i < Math.max(x.length, y.length); i++) {
    const difference = (x[i] ?? 0) - (y[i] ?? 0)
    if (difference !== 0) return Math.sign(difference)
  }
  return 0
}

/**
 * Cures one binary. The input is left as it is.
 * @param {Buffer} input the whole .node file
 * @returns {{ bytes: Buffer, patched: string[], needs: string }} the cured bytes, the names of the
 *   symbols that changed (none: it was cured or needed nothing), and the glibc the result needs
 * @throws {PatchRefused} for anything that isn't such a binary or needs more than this cure
 */
export function patchUws(input) {
  const bytes = Buffer.from(input)
  const { machine, dynsym, dynstr, versym, verneed } = readSections(bytes)
  const nameAt = (offset) => {
    const start = dynstr.offset + offset
    const end = bytes.indexOf(0, start)
    if (offset >= dynstr.size || end < 0) throw new PatchRefused('a name lies outside .dynstr')
    return bytes.toString('latin1', start, end)
  }

  const versions = readVersions(bytes, verneed, nameAt)
  const fresh = versions.find((v) => v.name === NEEDED)
  const oldest = versions.find((v) => v.library === 'libc.so.6' && v.name === machine.oldest)
  const needs = versions
    .filter((v) => v.name !== NEEDED && /^GLIBC_\d+(\.\d+)*$/.test(v.name))
    .map((v) => v.name.slice('GLIBC_'.length))
    .reduce((a, b) => (compareVersions(a, b) < 0 ? b : a), '0')
  if (!fresh) return { bytes, patched: [], needs }

  const users = symbolsOfVersion(bytes, dynsym, versym, fresh.index).map((at) => ({
    ...at,
    name: nameAt(bytes.readUInt32LE(at.symbol)),
  }))
  const strangers = users.filter((user) => !CURABLE.has(user.name)).map((user) => user.name)
  if (strangers.length > 0) {
    throw new PatchRefused(`it needs ${strangers.join(', ')} of ${NEEDED}, which has no substitute`)
  }
  if (!oldest) throw new PatchRefused(`it names no ${machine.oldest} of libc.so.6 to fall back on`)

  bytes.writeUInt16LE(bytes.readUInt16LE(fresh.flagsAt) | VER_FLG_WEAK, fresh.flagsAt)
  for (const { symbol, version } of users) {
    bytes.writeUInt32LE(bytes.readUInt32LE(symbol) + PREFIX.length, symbol)
    bytes.writeUInt16LE(oldest.index, version)
  }
  return { bytes, patched: users.map((user) => user.name), needs }
}

function readSections(bytes) {
  const isElf64LittleEndian =
    bytes.length >= 64 && bytes.readUInt32BE(0) === 0x7f454c46 && bytes[4] === 2 && bytes[5] === 1
  if (!isElf64LittleEndian) throw new PatchRefused('it is not a 64-bit little-endian ELF file')
  const machine = MACHINES[bytes.readUInt16LE(18)]
  if (!machine) throw new PatchRefused('it is neither an x64 nor an arm64 binary')

  const tableAt = Number(bytes.readBigUInt64LE(40))
  const entrySize = bytes.readUInt16LE(58)
  const count = bytes.readUInt16LE(60)
  if (entrySize < 64 || tableAt + entrySize * count > bytes.length) {
    throw new PatchRefused('its section table is cut off')
  }
  const sections = Array.from({ length: count }, (_, i) => {
    const at = tableAt + i * entrySize
    const section = {
      type: bytes.readUInt32LE(at + 4),
      offset: Number(bytes.readBigUInt64LE(at + 24)),
      size: Number(bytes.readBigUInt64LE(at + 32)),
      link: bytes.readUInt32LE(at + 40),
      info: bytes.readUInt32LE(at + 44),
    }
    const SHT_NOBITS = 8
    if (section.type !== SHT_NOBITS && section.offset + section.size > bytes.length) {
      throw new PatchRefused('a section is cut off')
    }
    return section
  })
  const find = (type, what) => {
    const section = sections.find((s) => s.type === type)
    if (!section) throw new PatchRefused(`it has no ${what}`)
    return section
  }
  const dynsym = find(11, '.dynsym')
  const dynstr = sections[dynsym.link]
  if (dynstr?.type !== 3) throw new PatchRefused('it has no .dynstr')
  const versym = find(0x6fffffff, '.gnu.version')
  if (versym.size / 2 !== dynsym.size / 24) {
    throw new PatchRefused('.gnu.version and .dynsym are of different lengths')
  }
  return { machine, dynsym, dynstr, versym, verneed: find(0x6ffffffe, '.gnu.version_r') }
}

/** Every version that the file needs of a library: Elf64_Verneed, each with its Elf64_Vernaux. */
function readVersions(bytes, verneed, nameAt) {
  const end = verneed.offset + verneed.size
  const within = (at) => {
    if (at + 16 > end) throw new PatchRefused('.gnu.version_r is cut off')
    return at
  }
  const versions = []
  let need = verneed.offset
  for (let i = 0; i < verneed.info; i++) {
    within(need)
    const library = nameAt(bytes.readUInt32LE(need + 4))
    let aux = need + bytes.readUInt32LE(need + 8)
    for (let left = bytes.readUInt16LE(need + 2); left > 0; left--) {
      within(aux)
      versions.push({
        library,
        flagsAt: aux + 4,
        index: bytes.readUInt16LE(aux + 6),
        name: nameAt(bytes.readUInt32LE(aux + 8)),
      })
      aux += bytes.readUInt32LE(aux + 12)
    }
    need += bytes.readUInt32LE(need + 12)
  }
  return versions
}

/** Where the symbols bound to a version have their Elf64_Sym and their entry in .gnu.version. */
function symbolsOfVersion(bytes, dynsym, versym, index) {
  const found = []
  for (let i = 0; i < versym.size / 2; i++) {
    const version = versym.offset + 2 * i
    const HIDDEN = 0x8000
    if ((bytes.readUInt16LE(version) & ~HIDDEN) === index) {
      found.push({ symbol: dynsym.offset + 24 * i, version })
    }
  }
  return found
}

/** The running glibc (`2.36`), undefined where there is none (musl, macOS, Windows). */
export function runningGlibc() {
  if (process.platform !== 'linux' || !process.report) return undefined
  process.report.excludeNetwork = true // or the report resolves names of open sockets
  return process.report.getReport().header.glibcVersionRuntime
}

/**
 * Cures the binaries of one architecture in an installed package, for every Node version, so that
 * changing Node later needs no new installation.
 * @returns {string} what was done, for people
 * @throws {PatchRefused} naming the file; files before it stay cured
 */
export function patchPackage(folder, { glibc, arch }) {
  if (!glibc) return 'nothing to do: this is no glibc system'
  if (compareVersions(glibc, '2.38') >= 0) return `nothing to do: glibc ${glibc} has what it needs`
  const files = readdirSync(folder).filter((f) => f.startsWith(`uws_linux_${arch}_`))
  const cured = []
  for (const file of files.filter((f) => f.endsWith('.node'))) {
    const path = join(folder, file)
    try {
      const { bytes, patched, needs } = patchUws(readFileSync(path))
      if (compareVersions(needs, glibc) > 0) {
        throw new PatchRefused(`it needs glibc ${needs}, this machine has ${glibc}`)
      }
      if (patched.length === 0) continue
      replaceFile(path, bytes)
      cured.push(file)
    } catch (error) {
      if (error instanceof PatchRefused) error.message = `${file}: ${error.message}`
      throw error
    }
  }
  if (cured.length === 0) return 'nothing to do: already cured'
  return `cured for glibc ${glibc}: ${cured.join(', ')}`
}

/** By rename: a running process may have the old file mapped, another folder may be linked to it. */
function replaceFile(path, bytes) {
  const next = `${path}.${process.pid}`
  try {
    writeFileSync(next, bytes)
    renameSync(next, path)
  } finally {
    rmSync(next, { force: true })
  }
}

function installedPackage() {
  try {
    return dirname(createRequire(import.meta.url).resolve('uWebSockets.js'))
  } catch {
    return undefined
  }
}

function main() {
  const folder = installedPackage()
  if (!folder) return
  try {
    const done = patchPackage(folder, { glibc: runningGlibc(), arch: process.arch })
    console.log(`uWebSockets.js: ${done}`)
  } catch (error) {
    if (!(error instanceof PatchRefused)) throw error
    console.error(`uWebSockets.js can't be made to run here: ${error.message}`)
    console.error('Use a system with glibc >= 2.38 (Debian 13, Ubuntu 24.04) or a container image.')
    process.exitCode = 1
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) main()
