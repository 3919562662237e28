/** A process for open.test.ts to kill: writes without end and prints a position as soon as it is stored. */
import { parseRoomId, parseUserId } from '../../ids.ts'
import { levelHistory } from './level-history.ts'
import { levelState } from './level-state.ts'
import { openLevel } from './open.ts'

const ROWS = 10
const room = parseRoomId('gcrash-room')!
const user = parseUserId('ucrash')!
const utf8 = new TextEncoder()

const database = await openLevel(process.argv[2]!)
const history = levelHistory(database)
const state = levelState(database)

for (let position = (await history.floor(0)) + 1; ; position++) {
  const first = (position - 1) * ROWS + 1
  const rows = Array.from({ length: ROWS }, (_, n) => ({
    room,
    seq: first + n,
    frame: utf8.encode(`event ${first + n}`),
  }))
  const value = utf8.encode(`state ${position}`)
  await Promise.all([
    history.append(rows, 0, position),
    state.saveRooms([{ room, position, state: value }]),
    state.saveUsers([{ user, key: 'k', position, value }]),
  ])
  process.stdout.write(`${position}\n`)
}
