import t from 'tap'
import type { RoomId, UserId } from '../ids.ts'
import { RoomActor } from './room-actor.ts'

const roomOf = () => new RoomActor<object>('gABCDEFGHIJ' as RoomId, {})
const users = (...names: string[]) => names as unknown as readonly UserId[]
const entry = (seq: number, position = seq) => ({ seq, position, frame: Uint8Array.of(1) })

t.test('who is owed a pointer is named once, however often they were touched', async (t) => {
  const room = roomOf()
  const members = users('ua', 'ub')
  t.equal(room.touch(users(), 5), false, 'nobody')
  t.equal(room.dirtySince, 0)
  t.equal(room.touch(members, 5), true, 'the first')
  t.equal(room.touch(members, 6), false)
  t.equal(room.dirtySince, 5)
  t.same(room.takeDirty(), members)
  t.same([room.dirtySince, room.takeDirty()], [0, []])
  for (let i = 0; i < 100; i++) room.touch(users('ua', `u${i % 30}`), 7)
  t.equal(room.dirtySince, 7)
  t.same(
    [...room.takeDirty()].sort(),
    [...new Set(['ua', ...Array.from({ length: 30 }, (_, i) => `u${i}`)])].sort(),
  )
})

t.test('memory keeps what history lacks, what is undecided, and the last few', async (t) => {
  const room = roomOf()
  const from = () => room.tail[0]?.seq
  room.tail = Array.from({ length: 127 }, (_, i) => entry(i + 1))
  room.trim(1000)
  t.equal(from(), 1, 'few are left alone')
  room.tail.push(entry(128))
  room.trim(0)
  t.equal(from(), 1, 'history has nothing')
  room.trim(30)
  t.equal(from(), 31)
  room.tail = Array.from({ length: 200 }, (_, i) => entry(i + 1, i < 40 ? i + 1 : 0))
  room.trim(1000)
  t.equal(from(), 41, 'undecided')
  room.tail = Array.from({ length: 200 }, (_, i) => entry(i + 1))
  room.trim(1000)
  t.equal(room.tail.length, 64)
})

t.test('a room is archived when history has its newest event', async (t) => {
  const room = roomOf()
  t.equal(room.archived(0), true)
  room.tail = [entry(1, 10), entry(2, 11)]
  t.same([room.archived(10), room.archived(11)], [false, true])
  room.tail.push(entry(3, 0))
  t.equal(room.archived(1000), false)
})
