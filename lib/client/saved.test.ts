import fc from 'fast-check'
import t from 'tap'
import type { RoomId, UserId } from '../ids.ts'
import type { Pointer } from '../protocol/frames.ts'
import { applyChange, type Change, changesOf, emptySaved, newerOf, type Saved } from './saved.ts'
import { readChange } from './saved-rows.ts'

const rooms = ['gone-of-three', 'gtwo-of-three'] as RoomId[]
const user = 'uben' as UserId
const small = fc.nat({ max: 5 })
const room = fc.constantFrom(...rooms)

const pointerOf = (id: RoomId, version: number): Pointer => ({
  ...{ room: id, version, head: version, ord: 1, time: 1, read: 0, readOrd: 0, from: 1, join: 0 },
  ...{ role: 0, flags: 0, title: 'x', sender: user, preview: null },
})
const tally = fc.record({ lineage: small, join: small, n: small, spent: fc.boolean() })
const numbering = fc.record({ lineage: small, join: small, n: small, tail: fc.constant('YQ==') })

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    op: fc.constant('cursor' as const),
    cursor: fc.option(fc.record({ stream: fc.constantFrom('a', 'b'), position: small })),
  }),
  fc.record({ op: fc.constant('lineage' as const), lineage: small }),
  fc.record({ op: fc.constant('place' as const), place: fc.record({ n: small, stamp: small }) }),
  fc
    .tuple(room, small)
    .map(([id, version]): Change => ({ op: 'pointer', pointer: pointerOf(id, version) })),
  fc.record({
    op: fc.constant('position' as const),
    room,
    position: fc.record({ seq: small, ord: fc.option(small, { nil: undefined }) }),
  }),
  fc.record({ op: fc.constant('forget' as const), room }),
  fc.record({ op: fc.constant('tally' as const), room, tally }),
  fc.tuple(small, room).map(
    ([key, id]): Change => ({
      op: 'put',
      item: { key, after: 0, at: 0, command: { name: 'send', room: id, text: 'x', peer: null } },
    }),
  ),
  fc.record({ op: fc.constant('number' as const), key: small, numbering }),
  fc.record({ op: fc.constant('settle' as const), key: small }),
  fc.record({
    op: fc.constant('acked' as const),
    room,
    acked: fc.record({ key: small, seq: small }),
  }),
)

const fold = (changes: readonly Change[], into: Saved = emptySaved()): Saved => {
  for (const one of changes) applyChange(into, one)
  return into
}
const byKey = ([a]: [unknown, unknown], [b]: [unknown, unknown]) => (String(a) < String(b) ? -1 : 1)
/** As it is compared: without regard to order, and as JSON has it. */
const plain = (saved: Saved): unknown =>
  JSON.parse(
    JSON.stringify({
      ...saved,
      pointers: [...saved.pointers].sort(byKey),
      positions: [...saved.positions].sort(byKey),
      tallies: [...saved.tallies].sort(byKey),
      items: [...saved.items].sort(byKey),
      acked: [...saved.acked].sort(byKey),
    }),
  )

t.test('the fewest changes lead to the same', async (t) => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const saved = fold(changes)
      const again = fold(changesOf(saved))
      if (JSON.stringify(plain(again)) !== JSON.stringify(plain(saved))) {
        throw new Error(`${JSON.stringify(plain(again))} for ${JSON.stringify(plain(saved))}`)
      }
    }),
  )
  t.pass()
})

t.test('applied twice in a row they lead to the same', async (t) => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
      const once = plain(fold(changes))
      const twice = plain(fold(changes.flatMap((one) => [one, one])))
      if (JSON.stringify(once) !== JSON.stringify(twice)) throw new Error('not the same')
    }),
  )
  t.pass()
})

t.test('N1 a forgotten room keeps its numbers', async (t) => {
  const [id] = rooms as [RoomId]
  const saved = fold([
    { op: 'pointer', pointer: pointerOf(id, 1) },
    { op: 'tally', room: id, tally: { lineage: 7, join: 0, n: 4, spent: false } },
    { op: 'forget', room: id },
  ])
  t.equal(saved.pointers.size, 0)
  t.match(saved.tallies.get(id), { n: 4 })
})

t.test('stored changes are read back as they were', async () => {
  fc.assert(
    fc.property(change, (one) => {
      const read = readChange(JSON.parse(JSON.stringify(one)))
      if (JSON.stringify(read) !== JSON.stringify(one)) throw new Error(JSON.stringify(one))
    }),
  )
})

t.test('what is no change is refused', async (t) => {
  const [id] = rooms as [RoomId]
  const item = {
    key: 1,
    after: 0,
    at: 0,
    command: { name: 'send', room: id, text: 'x', peer: null },
  }
  const bad: unknown[] = [
    null,
    7,
    [],
    {},
    { op: 'nothing' },
    { op: 'constructor' },
    { op: 'lineage', lineage: -1 },
    { op: 'lineage', lineage: 1.5 },
    { op: 'cursor', cursor: { stream: 'a' } },
    { op: 'pointer', pointer: { ...pointerOf(id, 1), room: '../../etc' } },
    { op: 'pointer', pointer: { ...pointerOf(id, 1), head: '4' } },
    { op: 'put', item: { ...item, command: { name: 'toString', room: id } } },
    { op: 'put', item: { ...item, command: { ...item.command, room: 'x' } } },
    { op: 'put', item: { ...item, numbering: { lineage: 1, join: 0, n: 1, tail: '***' } } },
    { op: 'number', key: 1, numbering: { lineage: 1, join: 0, n: 1 } },
    { op: 'forget', room: 7 },
  ]
  for (const one of bad) t.equal(readChange(one), undefined, JSON.stringify(one))
})

t.test('a reader that takes over brings what it learned', async (t) => {
  const [one, two] = rooms as [RoomId, RoomId]
  const cursor = (position: number, stream = 'a'): Change => ({
    op: 'cursor',
    cursor: { stream, position },
  })
  const stored = fold([
    { op: 'pointer', pointer: pointerOf(one, 5) },
    { op: 'position', room: one, position: { seq: 9, ord: 9 } },
    cursor(5),
  ])
  const mine = fold([
    { op: 'pointer', pointer: pointerOf(one, 4) },
    { op: 'pointer', pointer: pointerOf(two, 8) },
    { op: 'position', room: one, position: { seq: 7, ord: 7 } },
    { op: 'position', room: two, position: { seq: 3, ord: 3 } },
    cursor(8),
  ])
  fold(newerOf(mine, stored), stored)
  t.equal(stored.pointers.get(one)?.version, 5)
  t.equal(stored.pointers.get(two)?.version, 8)
  t.strictSame(
    [...stored.positions.values()].map(({ seq }) => seq),
    [9, 3],
  )
  t.equal(stored.cursor?.position, 8)
  t.strictSame(
    newerOf(fold([cursor(99, 'b')]), stored),
    [],
    'another stream says nothing of this one',
  )
})
