/**
 * Fills the generated parts of README.md and docs/**: `node cmd/tools/docs.ts` writes them, with
 * `--check` it exits 1 and shows what differs.
 *
 *   <!-- generated:errors -->
 *   (replaced by what GENERATORS.errors returns)
 *   <!-- /generated -->
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GENERATORS } from './doc-tables.ts'

type Generators = Readonly<Record<string, () => string>>

const OPEN = /^<!-- generated:(\S+) -->$/
const CLOSED = '<!-- /generated -->'

/**
 * The page with every generated part renewed; text outside the markers, code blocks included, stays.
 * Throws an Error naming the line for a marker that is unknown or has no partner.
 */
export function renew(page: string, generators: Generators = GENERATORS): string {
  const out: string[] = []
  let open: { name: string; line: number } | undefined
  let fenced = false
  for (const [i, line] of page.split('\n').entries()) {
    if (!open && line.startsWith('```')) fenced = !fenced
    const name = fenced ? undefined : OPEN.exec(line)?.[1]
    if (name !== undefined) {
      if (open) throw new Error(`line ${i + 1}: generated:${open.name} is still open`)
      const generate = generators[name]
      if (!generate) {
        const known = Object.keys(generators).join(', ')
        throw new Error(`line ${i + 1}: no generator ${name}; there are ${known}`)
      }
      open = { name, line: i + 1 }
      out.push(line, '', generate().trim(), '')
    } else if (!fenced && line === CLOSED) {
      if (!open) throw new Error(`line ${i + 1}: nothing generated is open`)
      open = undefined
      out.push(line)
    } else if (!open) {
      out.push(line)
    }
  }
  if (open) throw new Error(`line ${open.line}: generated:${open.name} is never closed`)
  return out.join('\n')
}

/** The first lines in which the two differ, for people. */
export function hint(before: string, after: string): string {
  const a = before.split('\n')
  const b = after.split('\n')
  const at = a.findIndex((line, i) => line !== b[i])
  const first = at < 0 ? a.length : at
  const show = (sign: string, lines: string[]) =>
    lines.slice(first, first + 3).map((line) => `  ${sign} ${line}`)
  return [`  line ${first + 1}:`, ...show('-', a), ...show('+', b)].join('\n')
}

export type Page = { path: string; before: string; after: string }

/** The pages under `root` that are not up to date. Throws an Error naming page and line. */
export function stalePages(root: string, generators: Generators = GENERATORS): Page[] {
  const stale: Page[] = []
  for (const path of globSync(['README.md', 'docs/**/*.md'], { cwd: root }).sort()) {
    const before = readFileSync(join(root, path), 'utf8')
    try {
      const after = renew(before, generators)
      if (after !== before) stale.push({ path, before, after })
    } catch (error) {
      throw new Error(`${path}: ${(error as Error).message}`, { cause: error })
    }
  }
  return stale
}

/** Writes or checks; returns the exit code. */
export function main(
  root: string,
  check: boolean,
  print: (line: string) => void = console.log,
  generators: Generators = GENERATORS,
): 0 | 1 {
  const stale = stalePages(root, generators)
  for (const { path, before, after } of stale) {
    if (check) print(`${path} is out of date\n${hint(before, after)}`)
    else {
      writeFileSync(join(root, path), after)
      print(`${path} written`)
    }
  }
  if (check && stale.length > 0) print('Run `npm run docs` and commit the result.')
  return check && stale.length > 0 ? 1 : 0
}

if (import.meta.main) process.exitCode = main(process.cwd(), process.argv.includes('--check'))
