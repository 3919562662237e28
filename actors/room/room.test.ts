import t from 'tap'
import { room } from './room.ts'
import { ANN, BEN, DM, GROUP, saying, scene } from './scene.ts'

t.test('a dm is made by its first message', async (t) => {
  const it = scene(room, DM)
  const first = it.send({ n: 1 }, 'hello', BEN)
  t.match(it.decide(ANN, first).answer, { kind: 'permit', peer: BEN })
  const made = it.when(ANN, first, 'granted')
  t.match(made.answer, { kind: 'ack', seq: 2 })
  t.match(made.records, [
    { kind: 'event', seq: 1, ord: 0, n: 0 },
    { kind: 'event', seq: 2, ord: 1, n: 1 },
  ])
  t.strictSame(made.heard[1]?.by, [ANN, BEN])
  t.match(it.when(ANN, it.send({ n: 2 }, 'more')).answer, { kind: 'ack', seq: 3 })
  t.match(it.when(BEN, it.open()).answer, { info: { head: 3, ord: 2, members: [{}, {}] } })
  t.match(it.when(BEN, it.fetch(0, 50, true)).answer, { first: 1, last: 3, from: 1, head: 3 })
  t.match(it.when(BEN, it.read(3, 2)).records, [{ kind: 'read', seq: 3, ord: 2 }])
  t.match(room.pointer(it.state, ANN), { title: BEN, preview: 'more', read: 3, readOrd: 2 })
  t.strictSame(room.encode(it.replay()), room.encode(it.state))
  t.strictSame(room.encode(room.decode(DM, room.encode(it.state))), room.encode(it.state))
})

t.test('a group is made once', async (t) => {
  const it = scene(room, GROUP)
  const make = it.create({ n: 1 }, [BEN])
  const { answer } = it.when(ANN, make)
  t.match(answer, { kind: 'ack', seq: 1 })
  t.strictSame(it.when(ANN, make).answer, answer)
  t.equal(saying(it.when(BEN, it.create({ n: 1 }, [])).answer), 'exists')
  t.match(it.when(BEN, it.send({ join: 1, n: 1 }, 'hi')).answer, { kind: 'ack', seq: 2 })
})
