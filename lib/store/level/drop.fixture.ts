/** A process for drop.test.ts to kill: appends and drops without end; prints a floor as soon as it is stored. */
import { parseRoomId } from '../../ids.ts'
import { levelHistory } from './level-history.ts'
import { openLevel } from './open.ts'

const ROWS = 50
const room = parseRoomId('gdrop-room')!
const utf8 = new TextEncoder()

const history = levelHistory(await openLevel(process.argv[2]!))

for (let position = (await history.floor(0)) + 1; ; position++) {
  const first = (position - 1) * ROWS + 1
  const rows = Array.from({ length: ROWS }, (_, n) => ({
    room,
    seq: first + n,
    frame: utf8.encode(`event ${first + n}`),
  }))
  await history.append(rows, 0, position)
  // Never at the same place of a row: 100 events stay behind it.
  const below = first - 100 + ((position * 7) % ROWS)
  if (below <= 1) continue
  const dropped = history.drop(room, below)
  // The floor is there before the rows are gone.
  while ((await history.kept(room)) < below) await new Promise(setImmediate)
  process.stdout.write(`${below} ${first + ROWS - 1}\n`)
  await dropped
}
