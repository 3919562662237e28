import t from 'tap'
import type { RoomId, UserId } from '../ids.ts'
import { readFrames } from '../protocol/codec.ts'
import { type Command, encodeTail, frameOf, fromBase64, toBase64 } from './command.ts'

const room = 'groom-of-two' as RoomId
const user = 'uben' as UserId
const numbers = { lineage: 7, join: 3, n: 300, low: 290 }
const commands: Command[] = [
  { name: 'send', room, text: 'Grüße 👋', peer: user },
  { name: 'create', room, title: 'Team', openHistory: true, members: [user] },
  { name: 'add', room, users: [user] },
  { name: 'remove', room, user },
  { name: 'leave', room },
  { name: 'role', room, user, role: 2 },
]

for (const command of commands) {
  t.test(`N3 ${command.name}: any attempt is the same but for its request number`, async (t) => {
    const tail = encodeTail(command, numbers)
    for (const req of [1, 200, 70_000, 0xffffffff]) {
      const [frame, ...more] = readFrames(frameOf(command.name, req, tail))
      t.strictSame(frame, { ...command, ...numbers, req })
      t.equal(more.length, 0)
    }
  })
}

t.test('bytes survive base64', async (t) => {
  const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte)
  t.strictSame(fromBase64(toBase64(bytes)), bytes)
})
