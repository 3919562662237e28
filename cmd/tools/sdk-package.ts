/**
 * The publishable client: what lib/client/index.ts reaches, and nothing of the server. Files come
 * out of an existing build; versions out of package.json.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { AREAS, BROWSER_PACKAGES } from './arrow-rules.ts'
import { areaOf } from './arrows.ts'
import { packageOf, readImports } from './imports.ts'

/** Doors of the package. The second is for what only Node can do (files). */
const DOORS = { '.': 'lib/client/index.ts', './node': 'lib/client/index.node.ts' } as const
const AREAS_INSIDE: readonly string[] = ['client', ...AREAS.client.sees]

export class SdkRefused extends Error {
  override name = 'SdkRefused'
}

export type Closure = { files: string[]; packages: string[] }

/**
 * Every file of the repository at `root` that `entries` reach, types and dynamic imports included,
 * and the packages those import.
 * @throws SdkRefused naming the file that imports what a client must not have
 */
export function closureOf(root: string, entries: readonly string[]): Closure {
  const files = new Set<string>()
  const packages = new Set<string>()
  const visit = (path: string, from: string): void => {
    if (files.has(path)) return
    const area = areaOf(path)
    if (!area || !AREAS_INSIDE.includes(area)) {
      throw new SdkRefused(`${from} imports ${path}, which is no part of the client`)
    }
    files.add(path)
    for (const { specifier } of readImports(readFileSync(join(root, path), 'utf8'))) {
      const name = packageOf(specifier)
      if (specifier.startsWith('.')) {
        visit(posix.join(posix.dirname(path), specifier), path)
      } else if (specifier.startsWith('node:')) {
        if (!path.endsWith('.node.ts')) throw new SdkRefused(`${path} imports ${specifier}`)
      } else if (name !== undefined) {
        if (!BROWSER_PACKAGES.includes(name)) {
          throw new SdkRefused(`${path} imports ${name}, which is not for clients`)
        }
        packages.add(name)
      }
    }
  }
  for (const entry of entries) visit(entry, 'the package')
  return { files: [...files].sort(), packages: [...packages].sort() }
}

type Manifest = {
  name: string
  version: string
  license: string
  engines: Record<string, string>
  dependencies: Record<string, string>
}

/** The package.json of the client. Throws SdkRefused for a dependency without an exact version. */
export function manifestOf(root: Manifest, packages: readonly string[], doors: readonly string[]) {
  const dependencies = packages.map((name) => {
    const version = root.dependencies[name]
    if (version === undefined || !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) {
      throw new SdkRefused(`package.json gives no exact version of ${name}`)
    }
    return [name, version] as const
  })
  const exports = Object.entries(DOORS)
    .filter(([, entry]) => doors.includes(entry))
    .map(([door, entry]) => {
      const stem = `./${entry.slice(0, -'.ts'.length)}`
      return [door, { types: `${stem}.d.ts`, default: `${stem}.js` }] as const
    })
  return {
    name: `@${root.name}/client`,
    version: root.version,
    description: 'The client of Parley, for browsers and Node',
    license: root.license,
    type: 'module',
    sideEffects: false,
    engines: root.engines,
    exports: { ...Object.fromEntries(exports), './package.json': './package.json' },
    files: ['lib'],
    dependencies: Object.fromEntries(dependencies),
  }
}

export const hasClient = (root: string): boolean => existsSync(join(root, DOORS['.']))

/** Writes the package to `out` from the build in `dist`. */
export function writeSdkPackage(root: string, dist: string, out: string): Closure {
  const doors = Object.values(DOORS).filter((entry) => existsSync(join(root, entry)))
  const closure = closureOf(root, doors)
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
  const written = manifestOf(manifest, closure.packages, doors)
  rmSync(out, { recursive: true, force: true })
  for (const file of closure.files) {
    const stem = file.slice(0, -'.ts'.length)
    mkdirSync(dirname(join(out, file)), { recursive: true })
    for (const name of [`${stem}.js`, `${stem}.d.ts`]) cpSync(join(dist, name), join(out, name))
  }
  for (const [from, to] of [
    ['LICENSE', 'LICENSE'],
    ['lib/client/README.md', 'README.md'],
  ] as const) {
    if (existsSync(join(root, from))) cpSync(join(root, from), join(out, to))
  }
  writeFileSync(join(out, 'package.json'), `${JSON.stringify(written, null, 2)}\n`)
  return closure
}
