/** Checks the direction of dependencies (arrow-rules.ts) over the sources: `node cmd/tools/arrows.ts`. */
import { globSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { posix } from 'node:path'
import {
  AREAS,
  type Area,
  type AreaName,
  BROWSER_PACKAGES,
  DRIVERS,
  EXCEPTIONS,
  isTest,
  LINES_COUNTED,
  MOST_LINES,
  TEST_SEES,
  TEXT_RULES,
} from './arrow-rules.ts'
import {
  computedImports,
  lineAt,
  packageOf,
  type Reference,
  readImports,
  withoutComments,
} from './imports.ts'

export type Violation = { path: string; line: number; message: string }
type Manifest = { dependencies?: Record<string, string>; devDependencies?: Record<string, string> }

const covers = (where: string, path: string): boolean =>
  where.endsWith('/') ? path.startsWith(where) : path === where

export function areaOf(path: string): AreaName | undefined {
  let best: AreaName | undefined
  let length = 0
  for (const [name, area] of Object.entries(AREAS) as [AreaName, Area][]) {
    for (const where of area.where) {
      if (where.length > length && covers(where, path)) {
        best = name
        length = where.length
      }
    }
  }
  return best
}

/** All violations in `files` (path from the root with `/` → text), in order of path and line. */
export function checkArrows(files: ReadonlyMap<string, string>, manifest: Manifest): Violation[] {
  const found: Violation[] = []
  for (const [path, source] of files) {
    const report = (line: number, message: string) => found.push({ path, line, message })
    const name = areaOf(path)
    if (!name) {
      report(1, 'belongs to no area: add it to arrow-rules.ts')
      continue
    }
    for (const reference of readImports(source)) {
      const message = judge(path, name, reference, manifest)
      if (message) report(reference.line, message)
    }
    if (!isTest(path)) checkText(path, AREAS[name], source, report)
  }
  return found.sort((a, b) => (a.path === b.path ? a.line - b.line : a.path < b.path ? -1 : 1))
}

function judge(path: string, from: AreaName, reference: Reference, manifest: Manifest) {
  const { specifier } = reference
  if (specifier.startsWith('.')) return judgeFile(path, from, reference)
  if (specifier.startsWith('node:')) return judgeBuiltin(path, from, specifier)
  if (builtinModules.includes(specifier)) return `write node:${specifier}`
  return judgePackage(path, from, packageOf(specifier)!, manifest)
}

function judgeFile(path: string, from: AreaName, { specifier, kind }: Reference) {
  const target = posix.join(posix.dirname(path), specifier)
  const to = areaOf(target)
  if (!to) return `${target} belongs to no area`
  if (EXCEPTIONS.some((e) => covers(e.from, path) && covers(e.to, target))) return undefined
  const test = isTest(path)
  if (isTest(target) && !test) return `${target} is a test; only tests import it`
  const sees: readonly (AreaName | '*')[] = test
    ? [...TEST_SEES, ...AREAS[from].sees]
    : AREAS[from].sees
  if (from !== to && !sees.includes(to) && !sees.includes('*')) {
    return `${test ? 'a test of ' : ''}${from} must not import ${to} (${target})`
  }
  const node = (file: string) => file.endsWith('.node.ts')
  if (AREAS[from].browser && !test && !node(path) && node(target) && kind === 'static') {
    return `${target} is for Node only; browsers load this file too`
  }
  return undefined
}

function judgeBuiltin(path: string, from: AreaName, specifier: string) {
  const area = AREAS[from]
  if (isTest(path)) return undefined
  if (area.pure) return `${from} is pure: no ${specifier}`
  if (area.browser && !path.endsWith('.node.ts')) {
    return `${specifier} in code for browsers: put it in a *.node.ts`
  }
  return undefined
}

function judgePackage(path: string, from: AreaName, name: string, manifest: Manifest) {
  const area = AREAS[from]
  const free = area.free || isTest(path)
  if (!manifest.dependencies?.[name] && !(free && manifest.devDependencies?.[name])) {
    return `${name} is not in ${free ? 'package.json' : 'the dependencies of package.json'}`
  }
  if (free) return undefined
  if (area.pure) return `${from} is pure: no ${name}`
  if (area.browser && !BROWSER_PACKAGES.includes(name)) return `${name} is not for browsers`
  const scope = `${name.split('/')[0]}/*`
  const places = DRIVERS[name] ?? DRIVERS[scope]
  if (places && !places.some((place) => covers(place, path))) {
    return `${name} is imported in ${places.join(', ')} only`
  }
  return undefined
}

function checkText(
  path: string,
  area: Area,
  source: string,
  report: (line: number, message: string) => void,
) {
  const lines = source.trimEnd().split('\n').length
  if (lines > MOST_LINES && LINES_COUNTED.some((folder) => path.startsWith(folder))) {
    report(MOST_LINES, `${lines} lines: split it at ${MOST_LINES}`)
  }
  const code = withoutComments(source)
  for (const rule of TEXT_RULES) {
    if (!rule.applies(path, area)) continue
    for (const match of code.matchAll(rule.pattern)) {
      const start = match.index + match[0].search(/\S/)
      report(lineAt(code, start), rule.message)
    }
  }
  if (area.free) return
  for (const line of computedImports(source)) report(line, 'import() of something computed')
}

/** Every source file of the repository at `root`, as `checkArrows` wants them. */
export function readSources(root: string): Map<string, string> {
  const folders = ['actors', 'bench', 'cmd', 'lib', 'nats']
  const paths = globSync(
    folders.map((folder) => `${folder}/**/*.ts`),
    { cwd: root },
  )
    .map((path) => path.replaceAll('\\', '/'))
    .sort()
  return new Map(paths.map((path) => [path, readFileSync(`${root}/${path}`, 'utf8')]))
}

export function checkRepository(root: string): Violation[] {
  const manifest = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as Manifest
  return checkArrows(readSources(root), manifest)
}

if (import.meta.main) {
  const violations = checkRepository(process.cwd())
  for (const { path, line, message } of violations) console.error(`${path}:${line}: ${message}`)
  if (violations.length > 0) process.exitCode = 1
  else console.log('arrows: every import points the right way')
}
