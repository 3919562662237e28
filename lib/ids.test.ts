import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import {
  dmId,
  isDm,
  isId,
  newDeviceId,
  newGatewayId,
  newGroupId,
  newIncarnation,
  newUserId,
  parseDeviceId,
  parseRoomId,
  parseUserId,
  partitionOf,
  type RoomId,
  type UserId,
} from './ids.ts'

const user = (text: string): UserId => {
  const id = parseUserId(text)
  if (id === undefined) throw new Error(`not a user id: ${text}`)
  return id
}

const LONG = `u${'z'.repeat(31)}`

// What would do harm in a NATS subject, a queue name, a path or a protocol line.
const HOSTILE = [
  '',
  ' ',
  '*',
  '>',
  'u.*',
  'u.>',
  'u a',
  'u\r\nSUB x 1',
  'u\0',
  'u\n',
  '\nu',
  'u\u00e4',
  'u\u{1f600}',
  '\ufeffu',
  'u$SYS.REQ.SERVER.PING',
  '$JS.API.STREAM.DELETE.x',
  '_INBOX.>',
  '../../x',
  'u/x',
  `${LONG}z`,
  `u${'a'.repeat(5120)}`,
  undefined,
  null,
  7,
  7n,
  {},
  ['u1'],
]

t.test('what may stand in a subject', async (t) => {
  for (const text of ['a', '0', '_', '-', 'Az09_-', LONG]) t.ok(isId(text), text)
  for (const text of HOSTILE) t.notOk(isId(text), JSON.stringify(String(text)))
})

t.test('parsers take their own prefix and nothing hostile', async (t) => {
  t.equal(parseUserId('uAda'), 'uAda')
  t.equal(parseUserId('u'), 'u')
  t.equal(parseUserId(LONG), LONG)
  t.equal(parseDeviceId('vPhone'), 'vPhone')
  for (const other of ['Uda', 'vAda', 'gAda', 'dAda']) t.equal(parseUserId(other), undefined, other)
  for (const other of ['uAda', 'Vx', 'gx']) t.equal(parseDeviceId(other), undefined, other)
  for (const text of HOSTILE) {
    t.equal(parseUserId(text), undefined)
    t.equal(parseDeviceId(text), undefined)
    t.equal(parseRoomId(text), undefined)
  }
})

t.test('N5 rooms are dms or groups; other prefixes are refused', async (t) => {
  const dm = 'd0C4Pu4a0HhA3pQ-esRcvaF'
  t.equal(parseRoomId(dm), dm)
  t.ok(isDm(dm as RoomId))
  t.notOk(isDm('gV1StGXR8_Z5jdHi6B-myT' as RoomId))
  t.equal(parseRoomId(dm.slice(0, -1)), undefined, 'a dm id that is too short')
  t.equal(parseRoomId(`${dm}A`), undefined, 'a dm id that is too long')
  t.equal(parseRoomId('g12345678'), 'g12345678', 'the shortest group id')
  t.equal(parseRoomId('g1234567'), undefined, 'a group id that could be guessed')
  t.equal(parseRoomId(`g${'a'.repeat(31)}`), `g${'a'.repeat(31)}`)
  for (const prefix of ['c', 'u', 'v', 'D', 'G', '_', '-', '0']) {
    t.equal(parseRoomId(prefix + dm.slice(1)), undefined, prefix)
  }
})

t.test('N5 golden dm ids', async (t) => {
  // Made with another implementation (Python: hashlib, base64), not with this one.
  const golden: [string, string, string][] = [
    ['uAda', 'uBob', 'd0C4Pu4a0HhA3pQ-esRcvaF'],
    ['u-1', 'uA', 'dnnc4nZ-Qlhiz_HCsO6BV-d'],
    ['u_', 'uz', 'deGAri8DGejj5bfNhiFttAx'],
    ['uA', 'ua', 'dqALkXW6UfqaSU0E-WmN5nR'],
    [LONG, `u${'a'.repeat(31)}`, 'dk6uAMZ-k18P628FDVmLP_l'],
    ['uAda', 'uAda', 'd4ijTzVmhpftbxvHyze5QuO'],
  ]
  for (const [a, b, id] of golden) {
    t.equal(dmId(user(a), user(b)), id, `${a} and ${b}`)
    t.equal(dmId(user(b), user(a)), id, `${b} and ${a}`)
  }
})

t.test('N5 golden partitions', async (t) => {
  const golden: [string, [number, number, number, number]][] = [
    ['uAda', [0, 4, 20, 748]],
    ['uBob', [0, 7, 23, 71]],
    ['d0C4Pu4a0HhA3pQ-esRcvaF', [0, 2, 34, 66]],
    ['gV1StGXR8_Z5jdHi6B-myT', [0, 4, 36, 476]],
    ['u', [0, 14, 30, 246]],
    [LONG, [0, 2, 2, 74]],
  ]
  for (const [id, [of1, of16, of64, of1000]] of golden) {
    t.equal(partitionOf(id as UserId, 1), of1)
    t.equal(partitionOf(id as UserId, 16), of16, `${id} of 16`)
    t.equal(partitionOf(id as UserId, 64), of64, `${id} of 64`)
    t.equal(partitionOf(id as UserId, 1000), of1000, `${id} of 1000`)
  }
})

t.test('N5 dm ids and partitions are what node:crypto says', async () => {
  const id = fc.stringMatching(/^u[A-Za-z0-9_-]{0,31}$/).map(user)
  fc.assert(
    fc.property(id, id, fc.integer({ min: 1, max: 4096 }), (a, b, partitions) => {
      const pair = [a, b].sort().join('\0')
      const text = createHash('sha256').update(pair).digest('base64url').slice(0, 22)
      assert.equal(dmId(a, b), `d${text}`)
      assert.equal(parseRoomId(dmId(a, b)), `d${text}`)
      const hash = createHash('sha256').update(a).digest().readUInt32BE(0)
      assert.equal(partitionOf(a, partitions), hash % partitions)
    }),
  )
})

t.test('new ids parse, carry their prefix and differ', async (t) => {
  const seen = new Set<string>()
  for (let i = 0; i < 200; i++) {
    const ids = [newUserId(), newDeviceId(), newGroupId(), newIncarnation(), newGatewayId()]
    t.equal(parseUserId(ids[0]), ids[0])
    t.equal(parseDeviceId(ids[1]), ids[1])
    t.equal(parseRoomId(ids[2]), ids[2])
    t.equal(ids.map((id) => id[0]).join(''), 'uvghw')
    for (const id of ids) {
      t.ok(isId(id))
      seen.add(id)
    }
  }
  t.equal(seen.size, 1000)
})
