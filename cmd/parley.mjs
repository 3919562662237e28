#!/usr/bin/env node
// The command `parley`. An installed package holds JavaScript in dist/; a clone runs its sources,
// which takes a Node that strips types, here or in node_modules (the `node` of package.json).
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module from 'node:module'
import { constants } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const source = join(here, 'parley.ts')
const ownNode = join(here, '../node_modules/node/bin/node')
const [major, minor] = process.versions.node.split('.').map(Number)
const stripsTypes = major > 22 || (major === 22 && minor >= 18)
// Node refuses to strip types under node_modules.
const inClone = existsSync(source) && !here.split(sep).includes('node_modules')

// Stripped and compiled once: the second start takes half the time. Not in a folder of everybody's.
module.enableCompileCache?.(join(here, '../.cache/compiled'))

if (!stripsTypes && !(inClone && existsSync(ownNode))) {
  console.error(`parley: needs Node >= 22.18, this is ${process.version}`)
  if (inClone) console.error('parley: `make setup` fetches one for this folder')
  process.exitCode = 1
} else if (!inClone) {
  await import(pathToFileURL(join(here, '../dist/cmd/parley.js')).href)
} else if (stripsTypes) {
  await import(pathToFileURL(source).href)
} else {
  runInOwnNode()
}

function runInOwnNode() {
  const child = spawn(ownNode, [source, ...process.argv.slice(2)], { stdio: 'inherit' })
  // A terminal sends Ctrl-C to both, and twice would mean hurry; whatever else comes is passed on.
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'))
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    console.error(`parley: ${ownNode}: ${error.message}`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal]
  })
}
