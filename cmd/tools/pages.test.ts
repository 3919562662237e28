/** What README.md and docs/ speak of is there: files, targets, scripts, settings, licences. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import t from 'tap'
import { optionName, SETTINGS } from '../../lib/config.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const PAGES = globSync(['README.md', 'docs/**/*.md'], { cwd: ROOT }).sort()
const ROOTS = 'actors|bench|cmd|docs|lib|nats'

/** Options of single commands, which are no settings. */
const OF_COMMANDS = new Set(['--no-gateway', '--json', '--no-wait'])

const plain = (page: string): string => page.replace(/^```.*?^```$/gms, '')

/** As GitHub makes them of headings. */
const anchorsOf = (page: string): Set<string> => {
  const heads = [...plain(page).matchAll(/^#+ (.+)$/gm)].map(([, head = '']) =>
    head
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
  const own = [...page.matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id)
  return new Set([...heads, ...own])
}

t.test('links lead somewhere', async (t) => {
  let count = 0
  for (const page of PAGES) {
    for (const [, target = ''] of plain(read(page)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      count++
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? page : join(dirname(page), path)
      if (!existsSync(join(ROOT, file))) t.fail(`${page}: there is no ${target}`)
      else if (anchor !== undefined && !anchorsOf(read(file)).has(anchor)) {
        t.fail(`${page}: ${file} has no heading #${anchor}`)
      }
    }
  }
  t.ok(count > 100)
})

t.test('files that are named exist', async (t) => {
  const named = new RegExp(`\`(?:node )?((?:${ROOTS})/[\\w./*{},-]+)\``, 'g')
  let count = 0
  for (const page of PAGES) {
    for (const [, path = ''] of plain(read(page)).matchAll(named)) {
      count++
      if (globSync(path, { cwd: ROOT }).length === 0) t.fail(`${page}: there is no ${path}`)
    }
  }
  t.ok(count > 100)
})

t.test('targets, scripts and options that are named exist', async (t) => {
  const targets = new Set([...read('Makefile').matchAll(/^([a-z]+):/gm)].map(([, name]) => name))
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const options = new Set(Object.keys(SETTINGS).map((name) => `--${optionName(name)}`))
  for (const page of PAGES.filter((path) => !path.startsWith('docs/adr/'))) {
    const text = read(page)
    for (const [, name = ''] of text.matchAll(/(?:`|^)make ([a-z]+)/gm)) {
      t.ok(targets.has(name), `${page}: make ${name}`)
    }
    for (const [, name = ''] of text.matchAll(/npm run ([a-z0-9]+)/g)) {
      t.ok(name in scripts, `${page}: npm run ${name}`)
    }
  }
  // The settings that OPERATIONS.md explains, besides those of the table, which is generated.
  const told = read('docs/OPERATIONS.md').split('## Settings')[0]!
  for (const [, option = ''] of told.matchAll(/`(--[a-z-]+)[` ]/g)) {
    if (!OF_COMMANDS.has(option)) t.ok(options.has(option), option)
  }
})

t.test('ADR 0010 names every dependency, with its licence', async (t) => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>
  const rows = [
    ...read('docs/adr/0010-dependencies.md').matchAll(/^\| `(\S+)` \| (.+?) \| (.+) \|$/gm),
  ]
  const told = new Map(rows.map(([, name, licence]) => [name, licence]))
  const all = [...Object.keys(manifest.dependencies!), ...Object.keys(manifest.devDependencies!)]
  t.same([...told.keys()].sort(), all.sort())
  for (const name of all) {
    const { license } = JSON.parse(read(`node_modules/${name}/package.json`)) as { license: string }
    t.equal(told.get(name), license.replace(/[()]/g, ''), name)
  }
})

t.test('the list of decisions is whole', async (t) => {
  const list = read('docs/adr/README.md')
  const pages = PAGES.filter((path) => /^docs\/adr\/\d/.test(path))
  t.ok(pages.length >= 12)
  for (const path of pages) {
    const [, number = ''] = /(\d{4})-/.exec(path) ?? []
    t.match(list, `[${number}](${path.slice('docs/adr/'.length)})`)
    t.match(read(path), new RegExp(`^# ${number} `), 'its title says its number')
  }
})
