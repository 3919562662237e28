import t from 'tap'
import { room } from './room.ts'
import { ANN, BEN, CAT, DM, dmScene, EVE, GROUP, groupScene, saying, scene } from './scene.ts'
import { ROLE } from './state.ts'

t.test('fetch is clipped at what the asker may see', async (t) => {
  const it = groupScene()
  for (let n = 3; n <= 10; n++) it.when(ANN, it.send({ n }, `${n}`))
  it.when(ANN, it.add({ n: 11 }, [EVE]))
  for (let n = 12; n <= 20; n++) it.when(ANN, it.send({ n }, `${n}`))
  // Head 20; Eve sees 11 … 20.
  const table: [from: number, limit: number, back: boolean, first: number, last: number][] = [
    [0, 5, false, 11, 15],
    [1, 5, false, 11, 15],
    [12, 3, false, 12, 14],
    [18, 50, false, 18, 20],
    [20, 1, false, 20, 20],
    [0, 5, true, 16, 20],
    [99, 5, true, 16, 20],
    [13, 2, true, 12, 13],
    [13, 9, true, 11, 13],
    [11, 9, true, 11, 11],
  ]
  for (const [from, limit, back, first, last] of table) {
    const { answer, records } = it.when(EVE, it.fetch(from, limit, back))
    t.strictSame(answer, { kind: 'range', first, last, from: 11, head: 20 })
    t.strictSame(records, [])
  }
  for (const [from, limit, back] of [
    [21, 5, false],
    [99, 5, false],
    [12, 0, false],
    [0, 0, true],
    [10, 5, true],
  ] as const) {
    const { answer } = it.when(EVE, it.fetch(from, limit, back))
    t.ok(answer.kind === 'range' && answer.first > answer.last, `nothing from ${from}`)
  }
})

t.test('O6 no range goes past the head', async (t) => {
  const it = dmScene()
  t.match(it.when(BEN, it.fetch(2, 256)).answer, { first: 2, last: 2, head: 2 })
})

t.test('a room that is not yours is like one that is not', async (t) => {
  const [none, some] = [scene(room, GROUP), groupScene()]
  for (const command of [some.fetch(0, 10), some.open(), some.open(1, ANN), some.read(1, 0)]) {
    t.equal(saying(some.decide(EVE, command).answer), 'not_member')
    t.strictSame(none.decide(EVE, command), some.decide(EVE, command), command.name)
  }
})

t.test('a dm that has no message yet can be opened by its two', async (t) => {
  const it = scene(room, DM)
  t.strictSame(it.when(ANN, it.open(5, BEN)).answer, {
    kind: 'info',
    info: {
      room: DM,
      head: 0,
      ord: 0,
      from: 1,
      join: 0,
      lastN: 0,
      role: ROLE.member,
      title: '',
      openHistory: true,
      members: [
        { user: ANN, role: ROLE.member, read: 0 },
        { user: BEN, role: ROLE.member, read: 0 },
      ],
    },
  })
  t.equal(saying(it.when(ANN, it.open()).answer), 'not_member')
  t.equal(saying(it.when(ANN, it.open(5, CAT)).answer), 'not_member')
  t.equal(saying(it.when(ANN, it.fetch(0, 5)).answer), 'not_member')
  t.equal(it.log.length, 0)
})

t.test('a read position rises and others hear of it', async (t) => {
  const it = groupScene()
  for (let n = 3; n <= 6; n++) it.when(ANN, it.send({ n }, `${n}`))
  const { answer, records, heard } = it.when(CAT, it.read(4, 2))
  t.strictSame(answer, { kind: 'ok' })
  t.strictSame(records, [{ kind: 'read', room: GROUP, user: CAT, seq: 4, ord: 2 }])
  t.strictSame(
    heard[0]?.by,
    it.state.recipients.filter((user) => user !== CAT),
  )
  t.match(room.pointer(it.state, CAT), { read: 4, readOrd: 2, ord: 4 })
  for (const seq of [0, 1, 4]) {
    t.strictSame(it.when(CAT, it.read(seq, 0)), { answer, records: [], heard: [] }, `${seq}`)
  }
  t.equal(saying(it.when(CAT, it.read(7, 4)).answer), 'bad_request')
  t.match(it.when(ANN, it.open()).answer, { info: { members: [{}, {}, { user: CAT, read: 4 }] } })
})

t.test('a read position’s ord is what the numbers admit', async (t) => {
  const it = groupScene()
  for (let n = 3; n <= 6; n++) it.when(ANN, it.send({ n }, `${n}`))
  // Head 6, ord 4: up to 5 there are at least 3 and at most 4.
  const said = (seq: number, ord: number) => {
    const [record] = it.decide(CAT, it.read(seq, ord)).records
    return record?.kind === 'read' ? record.ord : undefined
  }
  t.equal(said(6, 0), 4)
  t.equal(said(6, 99), 4)
  t.equal(said(5, 0), 3)
  t.equal(said(5, 99), 4)
  t.equal(said(2, 0), 0)
  t.equal(said(2, 99), 2)
  it.when(CAT, it.read(3, 3))
  t.equal(said(4, 0), 3, 'it does not fall')
})

t.test('own messages are never unread', async (t) => {
  const it = dmScene()
  const unread = (user: typeof ANN) => {
    const pointer = room.pointer(it.state, user)
    return pointer && pointer.ord - pointer.readOrd
  }
  t.equal(unread(ANN), 0)
  t.equal(unread(BEN), 1)
  it.when(ANN, it.send({ n: 2 }, 'more'))
  t.equal(unread(BEN), 2)
  it.when(BEN, it.send({ n: 1 }, 'answer'))
  t.equal(unread(BEN), 0)
  t.equal(unread(ANN), 1)
  t.strictSame(it.when(BEN, it.read(4, 3)).records, [], 'nothing is left to read')
})
