/** `npm run build`: JavaScript and declarations in dist/, the client package in dist/client-package/. */
import { spawnSync } from 'node:child_process'
import { cpSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { hasClient, writeSdkPackage } from './sdk-package.ts'

/** What runs besides JavaScript: migrations, server configs, pages. Sources and notes stay behind. */
const ASSETS = '{actors,cmd,lib,nats}/**/*.{sql,json,conf,html,css,svg}'

/**
 * `tsc` turns `./x.ts` into `./x.js` in imports of JavaScript; this does it where tsc doesn't: in
 * declarations, and in `new URL('./x.ts', import.meta.url)`, which is how workers are named.
 */
export function retarget(path: string, text: string): string {
  if (path.endsWith('.d.ts')) {
    return text.replace(/(\bfrom |\bimport\(|^import )(['"])(\.[^'"\n]*)\.ts\2/gm, '$1$2$3.js$2')
  }
  return text.replace(
    /(\bnew URL\(\s*)(['"`])(\.[^'"`\n]*)\.ts\2(,\s*import\.meta\.url)/g,
    '$1$2$3.js$2$4',
  )
}

/** Builds the repository at `root` into `out`, which is emptied first. Throws an Error if tsc does. */
export function build(root: string, out: string): void {
  rmSync(out, { recursive: true, force: true })
  const manifest = createRequire(join(root, 'package.json')).resolve('typescript/package.json')
  const tsc = join(dirname(manifest), 'lib/tsc.js') // bin/tsc does not start under tap's loader
  const args = [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', out]
  const { status, error } = spawnSync(process.execPath, args, {
    stdio: 'inherit',
    timeout: 300_000,
  })
  if (status !== 0) throw new Error('tsc failed', { cause: error })

  for (const path of globSync('**/*.{js,d.ts}', { cwd: out })) {
    const file = join(out, path)
    const text = readFileSync(file, 'utf8')
    const changed = retarget(path, text)
    if (changed !== text) writeFileSync(file, changed)
  }
  for (const path of globSync(ASSETS, { cwd: root })) cpSync(join(root, path), join(out, path))
  if (hasClient(root)) writeSdkPackage(root, out, join(out, 'client-package'))
}

if (import.meta.main) build(process.cwd(), join(process.cwd(), 'dist'))
