import t from 'tap'
import { decidedIn, LINEAGES_KEPT, newLineages, note, OUTCOMES_KEPT } from './lineages.ts'
import { ANN, BEN, CAT, commands, DAN, DM, dmScene, EVE, groupScene, saying } from './scene.ts'
import { ROLE } from './state.ts'

t.test('N1 numbers that no client may send are refused unrecorded', async (t) => {
  const it = dmScene()
  const wrong = {
    'n is 0': { n: 0, low: 0 },
    'low is 0': { n: 2, low: 0 },
    'low is past n': { n: 2, low: 3 },
    'lineage is 0': { n: 1, lineage: 0 },
    'more than 32 in flight': { n: 33, low: 1 },
  }
  for (const [why, place] of Object.entries(wrong)) {
    const { answer, records } = it.when(ANN, it.send(place, 'x'))
    t.equal(saying(answer), 'bad_request', why)
    t.strictSame(records, [], why)
  }
})

t.test('N1 32 commands of a lineage may be in flight', async (t) => {
  const it = dmScene()
  for (let n = 2; n <= 32; n++) {
    t.equal(saying(it.when(ANN, it.send({ n, low: 1 }, `${n}`)).answer), 'ack', `${n}`)
  }
  t.equal(saying(it.when(ANN, it.send({ n: 33, low: 1 }, '33')).answer), 'bad_request')
  t.equal(saying(it.when(ANN, it.send({ n: 33, low: 2 }, '33')).answer), 'ack')
})

t.test('N1 a command of another join is refused for good, unrecorded', async (t) => {
  const it = groupScene()
  for (const join of [0, 2, 7]) {
    const { answer, records } = it.when(CAT, it.send({ n: 1, join }, 'x'))
    t.equal(saying(answer), 'stale_join')
    t.strictSame(records, [])
  }
  t.equal(saying(it.when(CAT, it.send({ n: 1, join: 1 }, 'x')).answer), 'ack')
  t.equal(saying(it.when(ANN, it.send({ n: 3, join: 1 }, 'x')).answer), 'stale_join')
  t.equal(saying(dmScene().when(BEN, it.send({ n: 1, join: 2 }, 'x')).answer), 'stale_join')
})

t.test('N1 a command from before a removal is never accepted after the return', async (t) => {
  const it = groupScene()
  const held = it.send({ n: 1, join: 1 }, 'held up on the way')
  it.when(ANN, it.remove({ n: 3 }, CAT))
  t.equal(saying(it.when(CAT, held).answer), 'not_member')
  it.when(ANN, it.add({ n: 4 }, [CAT]))
  const { answer, records } = it.when(CAT, held)
  t.equal(saying(answer), 'stale_join')
  t.strictSame(records, [])
  t.match(it.when(CAT, it.send({ n: 1, join: 4 }, 'back')).answer, { kind: 'ack', seq: 5 })
})

t.test('N1 only what was decided in that very stay is told after it', async (t) => {
  const it = groupScene()
  const [first, then] = [it.send({ n: 1, join: 1 }, 'first stay'), it.send({ n: 1, join: 4 }, 'x')]
  it.when(CAT, first)
  it.when(ANN, it.remove({ n: 3 }, CAT))
  t.equal(saying(it.when(CAT, then).answer), 'not_member')
  it.when(ANN, it.add({ n: 4 }, [CAT]))
  t.equal(saying(it.when(CAT, then).answer), 'stale_join')
  it.when(ANN, it.remove({ n: 5 }, CAT))
  it.when(ANN, it.add({ n: 6 }, [CAT]))
  t.equal(saying(it.when(CAT, first).answer), 'stale_join', 'two stays ago')
})

t.test('N2 a refusal for good is recorded, so that a late copy is not accepted', async (t) => {
  const it = groupScene()
  const tried = it.add({ n: 1, join: 1 }, [EVE])
  const { answer, records, heard } = it.when(CAT, tried)
  t.equal(saying(answer), 'forbidden')
  t.match(records, [{ kind: 'spent', user: CAT, lineage: 100, n: 1, hash: tried.hash }])
  t.strictSame(heard[0]?.by, [])
  it.when(ANN, it.role({ n: 3 }, CAT, ROLE.admin))
  t.strictSame(it.when(CAT, tried), { answer, records: [], heard: [] })
  t.equal(saying(it.when(CAT, it.add({ n: 2, join: 1 }, [EVE])).answer), 'ack')
})

t.test('N2 outsiders are refused unrecorded', async (t) => {
  const it = groupScene()
  const tries = [
    it.send({ n: 1 }, 'x'),
    it.send({ n: 1 }, 'x', ANN),
    it.add({ n: 1 }, [EVE]),
    it.remove({ n: 1 }, ANN),
    it.leave({ n: 1 }),
    it.role({ n: 1 }, EVE, ROLE.owner),
  ]
  for (const command of tries) {
    const { answer, records } = it.when(EVE, command)
    t.equal(saying(answer), 'not_member', command.name)
    t.strictSame(records, [], command.name)
  }
})

t.test('N2 outcomes below low are let go, those from low on are kept', async (t) => {
  const it = dmScene()
  const sent = [2, 3, 4].map((n) => it.send({ n, low: 2 }, `${n}`))
  const acks = sent.map((command) => it.when(ANN, command).answer)
  it.when(ANN, it.send({ n: 5, low: 4 }, '5'))
  t.equal(saying(it.when(ANN, sent[0]!).answer), 'settled')
  t.equal(saying(it.when(ANN, sent[1]!).answer), 'settled')
  t.strictSame(it.when(ANN, sent[2]!).answer, acks[2])
})

t.test('N2 no more than 64 outcomes are kept, whatever low says', async (t) => {
  const lineages = newLineages()
  const outcome = (n: number) => ({ hash: n, seq: n, id: BigInt(n), time: n, code: 0 })
  for (let n = 1; n <= 100; n++) note(lineages, 5, n, 1, outcome(n))
  const { send } = commands(DM)
  const ask = (n: number) => decidedIn(lineages, { ...send({ lineage: 5, n }, ''), hash: n })
  t.match(ask(100 - OUTCOMES_KEPT), { refusal: { refused: 'settled' } })
  t.match(ask(100 - OUTCOMES_KEPT + 1), { kind: 'ack', seq: 100 - OUTCOMES_KEPT + 1 })
  t.match(ask(100), { kind: 'ack', seq: 100 })
  t.equal(ask(101), undefined)
})

t.test('N3 a resend gets the first answer, however late', async (t) => {
  const it = dmScene()
  const first = it.send({ n: 2 }, 'first')
  const ack = it.when(ANN, first).answer
  for (let n = 1; n <= 10_000; n++) it.when(BEN, it.send({ n, lineage: 7 }, `${n}`))
  t.strictSame(it.when(ANN, first), { answer: ack, records: [], heard: [] })
  it.move('snapshot')
  t.strictSame(it.when(ANN, first), { answer: ack, records: [], heard: [] })
})

t.test('N3 a number used twice with other content is a conflict', async (t) => {
  const it = dmScene()
  it.when(ANN, it.send({ n: 2, low: 2 }, 'one'))
  const { answer, records } = it.when(ANN, it.send({ n: 2, low: 2 }, 'other'))
  t.equal(saying(answer), 'conflict')
  t.strictSame(records, [])
})

t.test('N3 a gap is refused for now, with the number to send next', async (t) => {
  const it = dmScene()
  const { answer, records } = it.when(ANN, it.send({ n: 4, low: 2 }, 'x'))
  t.match(answer, { kind: 'refused', refusal: { refused: 'out_of_order', detail: '2' } })
  t.strictSame(records, [])
})

t.test('N3 lineages of one user count apart', async (t) => {
  const it = dmScene()
  t.equal(saying(it.when(ANN, it.send({ n: 1, lineage: 200 }, 'other device')).answer), 'ack')
  t.equal(saying(it.when(ANN, it.send({ n: 2 }, 'first device')).answer), 'ack')
  t.match(it.when(ANN, it.open(100)).answer, { info: { lastN: 2 } })
  t.match(it.when(ANN, it.open(200)).answer, { info: { lastN: 1 } })
  t.match(it.when(ANN, it.open(300)).answer, { info: { lastN: 0 } })
  t.match(it.when(BEN, it.open(100)).answer, { info: { lastN: 0 } }, 'of the asker only')
})

t.test('N3 what was accepted before a removal is acked after it', async (t) => {
  const it = groupScene()
  const sent = it.send({ n: 1, join: 1 }, 'the ack of this was lost')
  const ack = it.when(CAT, sent).answer
  it.when(ANN, it.remove({ n: 3 }, CAT))
  t.strictSame(it.when(CAT, sent), { answer: ack, records: [], heard: [] })
  t.equal(saying(it.when(CAT, it.send({ n: 1, join: 1 }, 'other')).answer), 'conflict')
  t.equal(saying(it.when(CAT, it.send({ n: 2, join: 1 }, 'next')).answer), 'not_member')
  it.when(ANN, it.add({ n: 4 }, [CAT]))
  t.strictSame(it.when(CAT, sent), { answer: ack, records: [], heard: [] })
  it.move('snapshot')
  t.strictSame(it.when(CAT, sent), { answer: ack, records: [], heard: [] })
})

t.test('N3 a leave is acked again though its sender is gone', async (t) => {
  const it = groupScene()
  const leave = it.leave({ n: 1, join: 1 })
  const ack = it.when(DAN, leave).answer
  t.equal(ack.kind, 'ack')
  t.strictSame(it.when(DAN, leave), { answer: ack, records: [], heard: [] })
})

t.test('N4 past 16 lineages the least used goes', async (t) => {
  const it = dmScene()
  const of = (lineage: number, n = 1) => it.send({ lineage, n }, `${lineage}.${n}`)
  // 100 has been there since the first message.
  for (let lineage = 101; lineage < 100 + LINEAGES_KEPT; lineage++) it.when(ANN, of(lineage))
  it.when(ANN, of(100, 2))
  it.when(ANN, of(116))
  t.equal(saying(it.when(ANN, of(101)).answer), 'unknown_lineage', '101 was least used')
  t.equal(saying(it.when(ANN, of(101, 2)).answer), 'unknown_lineage')
  t.equal(saying(it.when(ANN, of(99)).answer), 'unknown_lineage', 'as old as what is gone')
  t.equal(saying(it.when(ANN, of(100, 3)).answer), 'ack', '100 was used after')
  t.equal(saying(it.when(ANN, of(102)).answer), 'ack', '102 is kept')
  t.equal(saying(it.when(ANN, of(117)).answer), 'ack', 'a new one may come')
  t.equal(it.state.members.get(ANN)?.lineages.byId.size, LINEAGES_KEPT)
})

t.test('N4 the highest id that went is kept', async (t) => {
  const it = dmScene()
  const of = (lineage: number) => it.send({ lineage, n: 1 }, `${lineage}`)
  it.when(BEN, of(500))
  for (let lineage = 10; lineage < 10 + LINEAGES_KEPT - 1; lineage++) it.when(BEN, of(lineage))
  t.equal(saying(it.when(BEN, of(501)).answer), 'ack', '500 goes')
  t.equal(saying(it.when(BEN, of(502)).answer), 'ack', '10 goes')
  it.move('snapshot')
  for (const lineage of [10, 25, 499, 500]) {
    t.equal(saying(it.when(BEN, of(lineage)).answer), 'unknown_lineage', `${lineage}`)
  }
  t.equal(saying(it.when(BEN, of(503)).answer), 'ack')
})

t.test('N4 an unknown lineage starts with 1', async (t) => {
  const it = dmScene()
  const settled = it.when(ANN, it.send({ n: 2, low: 2, lineage: 200 }, 'x'))
  t.equal(saying(settled.answer), 'unknown_lineage', 'its sender knows the outcome of 1')
  t.strictSame(settled.records, [])
  const early = it.when(ANN, it.send({ n: 2, low: 1, lineage: 200 }, 'x'))
  t.match(early.answer, { refusal: { refused: 'out_of_order', detail: '1' } })
  t.strictSame(early.records, [])
})
