import t from 'tap'
import { refuse } from '../../lib/errors.ts'
import { dmId, type UserId } from '../../lib/ids.ts'
import { Reader } from '../../lib/protocol/reader.ts'
import { room } from './room.ts'
import { ANN, BEN, CAT, DM, dmScene, EVE, groupScene, saying, scene } from './scene.ts'

const textOf = (body: Uint8Array): string => {
  const reader = new Reader(body)
  reader.array(1)
  return reader.str(65536)
}

t.test('N5 the first message of a dm makes it, when the users’ actors permit', async (t) => {
  const it = scene(room, DM)
  const first = it.send({ n: 1 }, 'hello', BEN)
  t.strictSame(it.when(ANN, first), {
    answer: { kind: 'permit', peer: BEN },
    records: [],
    heard: [],
  })
  const no = it.when(ANN, first, refuse('blocked'))
  t.equal(saying(no.answer), 'blocked')
  t.strictSame(no.records, [])
  t.equal(it.state.head, 0)

  const { answer, records, heard } = it.when(ANN, first, 'granted')
  t.match(answer, { kind: 'ack', seq: 2 })
  t.match(records, [
    { kind: 'event', seq: 1, ord: 0, type: 0, sender: ANN, lineage: 0, n: 0 },
    { kind: 'event', seq: 2, ord: 1, type: 1, sender: ANN, lineage: 100, n: 1, hash: first.hash },
  ])
  t.strictSame(
    heard.map(({ by }) => by),
    [
      [ANN, BEN],
      [ANN, BEN],
    ],
  )
  t.strictSame(it.when(ANN, first).answer, answer)
  t.match(it.when(BEN, it.open()).answer, { info: { openHistory: true, join: 0, from: 1 } })
  t.match(it.when(BEN, it.send({ n: 1 }, 'hi')).answer, { kind: 'ack', seq: 3 }, 'no peer needed')
})

t.test('N5 commands behind the first message wait for the permit with it', async (t) => {
  const it = scene(room, DM)
  const [one, two] = [it.send({ n: 1 }, '1', BEN), it.send({ n: 2, low: 1 }, '2', BEN)]
  t.equal(saying(it.when(ANN, one).answer), 'permit')
  t.equal(saying(it.when(ANN, two).answer), 'permit')
  t.equal(saying(it.when(ANN, one, 'granted').answer), 'ack')
  t.match(it.when(ANN, two, 'granted').answer, { kind: 'ack', seq: 3 })
})

t.test('N5 both may write the first message', async (t) => {
  const it = scene(room, DM)
  const [a, b] = [it.send({ n: 1 }, 'a', BEN), it.send({ n: 1 }, 'b', ANN)]
  t.match(it.when(BEN, b, 'granted').answer, { kind: 'ack', seq: 2 })
  t.match(it.when(ANN, a, 'granted').answer, { kind: 'ack', seq: 3 })
})

t.test('N5 a dm’s id is that of its two users', async (t) => {
  const it = scene(room, DM)
  const wrong: [string, UserId, ReturnType<typeof it.send>, string][] = [
    ['with another peer', ANN, it.send({ n: 1 }, 'x', CAT), 'bad_request'],
    ['by a stranger', EVE, it.send({ n: 1 }, 'x', ANN), 'bad_request'],
    ['without a peer', ANN, it.send({ n: 1 }, 'x'), 'not_member'],
    ['with a join', ANN, it.send({ n: 1, join: 1 }, 'x', BEN), 'stale_join'],
    ['without a text', ANN, it.send({ n: 1 }, '', BEN), 'bad_request'],
    ['in the middle of a lineage', ANN, it.send({ n: 2 }, 'x', BEN), 'unknown_lineage'],
  ]
  for (const [why, user, command, code] of wrong) {
    const { answer, records } = it.when(user, command, 'granted')
    t.equal(saying(answer), code, why)
    t.strictSame(records, [], why)
  }
  t.equal(it.state.head, 0)
})

t.test('a stranger is told the same whether a dm exists or not', async (t) => {
  const [none, some] = [scene(room, DM), dmScene()]
  for (const command of [
    none.send({ n: 1 }, 'x'),
    none.send({ n: 1 }, 'x', ANN),
    none.leave({ n: 1 }),
    none.add({ n: 1 }, [EVE]),
    none.fetch(1, 10),
    none.read(1, 1),
    none.open(null, ANN),
    none.open(null, null),
  ]) {
    t.strictSame(some.decide(EVE, command), none.decide(EVE, command), command.name)
  }
})

t.test('notes to self are a dm of one', async (t) => {
  const it = scene(room, dmId(ANN, ANN))
  const note = it.send({ n: 1 }, 'buy milk', ANN)
  t.match(it.when(ANN, note).answer, { kind: 'permit', peer: ANN })
  t.match(it.when(ANN, note, 'granted').heard.at(-1)?.by, [ANN])
  t.match(it.when(ANN, it.open()).answer, { info: { head: 2, members: [{ user: ANN }] } })
  t.match(room.pointer(it.state, ANN), { title: ANN, ord: 1, readOrd: 1 })
})

t.test('a message says what was sent, to all members', async (t) => {
  const it = groupScene()
  const text = 'שלום 👩‍👩‍👧 e\u0301 漢字 \ufeff'
  const { records, heard } = it.when(CAT, it.send({ n: 1, join: 1 }, text))
  const [record] = records
  t.ok(record?.kind === 'event' && textOf(record.body) === text)
  t.match(heard[0]?.by, it.state.recipients)
  t.match(record, { seq: 3, ord: 1, sender: CAT })
})

t.test('an empty message is refused for good', async (t) => {
  const it = dmScene()
  const empty = it.send({ n: 2 }, '')
  const { answer, records } = it.when(ANN, empty)
  t.equal(saying(answer), 'bad_request')
  t.match(records, [{ kind: 'spent', n: 2 }])
  t.equal(saying(it.when(ANN, it.send({ n: 3 }, 'x')).answer), 'ack')
})

t.test('W4 time never falls within a room', async (t) => {
  const it = dmScene()
  it.at(5_000)
  t.match(it.when(ANN, it.send({ n: 2 }, 'x')).answer, { time: 5_001 })
  it.at(3_000)
  t.match(it.when(ANN, it.send({ n: 3 }, 'y')).answer, { time: 5_001 })
  it.move('snapshot')
  t.match(it.when(ANN, it.send({ n: 4 }, 'y')).answer, { time: 5_001 })
  it.at(6_000)
  t.match(it.when(BEN, it.send({ n: 1 }, 'z')).answer, { time: 6_001 })
})
