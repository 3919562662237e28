import fc from 'fast-check'
import t from 'tap'
import { Ranges } from './invariants/dense.ts'
import { Invariants, RULES, type Rule } from './invariants.ts'

const ID = 7_000_000_000_000n
const idOf = (seq: number): bigint => ID + BigInt(seq)

/** Anna sends 1 … 5 to Bert, who gets them all; each test plants one fault. */
const good = () => {
  const check = new Invariants()
  const room = check.room('dm')
  const anna = room.reader('anna')
  const bert = room.reader('bert')
  const outbox = room.outbox('anna/1', anna)
  room.foreign(1)
  anna.saw(1, idOf(1))
  bert.saw(1, idOf(1))
  for (let n = 1; n <= 5; n++) {
    outbox.sent(n)
    outbox.acked(n, n + 1, idOf(n + 1))
    bert.saw(n + 1, idOf(n + 1), outbox, n)
  }
  return { check, room, anna, bert, outbox }
}

type Scene = ReturnType<typeof good>

/** The faults that must be found, each as the one rule that it breaks. */
const PLANTED: readonly { what: string; rule: Rule; plant: (scene: Scene) => void }[] = [
  {
    what: 'an acked command that nobody ever saw',
    rule: 'lost',
    plant: ({ outbox }) => {
      outbox.sent(6)
      outbox.acked(6, 7, idOf(7))
    },
  },
  {
    what: 'another message where an acked one should be, seen first',
    rule: 'lost',
    plant: ({ outbox, bert }) => {
      outbox.sent(6)
      bert.saw(7, idOf(70))
      outbox.acked(6, 7, idOf(7))
    },
  },
  {
    what: 'another message where an acked one should be, seen later',
    rule: 'lost',
    plant: ({ outbox, bert }) => {
      outbox.sent(6)
      outbox.acked(6, 7, idOf(7))
      bert.saw(7, idOf(70))
    },
  },
  {
    what: 'a message id under two sequences',
    rule: 'duplicate',
    plant: ({ outbox, bert }) => {
      outbox.sent(6)
      outbox.acked(6, 7, idOf(3))
      bert.saw(7, idOf(3))
    },
  },
  {
    what: 'a message id in two rooms',
    rule: 'duplicate',
    plant: ({ check }) => {
      const other = check.room('other')
      other.foreign(1)
      other.reader('carl').saw(1, idOf(4))
    },
  },
  {
    what: 'a command under two sequences, each with an id of its own',
    rule: 'duplicate',
    plant: ({ outbox, bert, room }) => {
      room.foreign(7)
      bert.saw(7, idOf(7), outbox, 5)
    },
  },
  {
    what: 'a hole in what a member got',
    rule: 'hole',
    plant: ({ room }) => {
      const late = room.reader('bert/2')
      for (const seq of [1, 2, 4, 5, 6]) late.saw(seq, idOf(seq))
    },
  },
  {
    what: 'a tail that a member never got',
    rule: 'hole',
    plant: ({ room }) => {
      const late = room.reader('bert/2')
      for (const seq of [1, 2, 3, 4]) late.saw(seq, idOf(seq))
    },
  },
  {
    what: 'a member that got nothing',
    rule: 'hole',
    plant: ({ room }) => {
      room.reader('bert/2')
    },
  },
  {
    what: 'a hole that was shown, though filled later',
    rule: 'hole',
    plant: ({ room }) => {
      const shown = room.reader('bert/screen', { strict: true })
      for (const seq of [1, 2, 4, 3, 5, 6]) shown.saw(seq, idOf(seq))
    },
  },
  {
    what: 'a message shown twice',
    rule: 'duplicate',
    plant: ({ room }) => {
      const shown = room.reader('bert/screen', { strict: true })
      for (const seq of [1, 2, 3, 3, 4, 5, 6]) shown.saw(seq, idOf(seq))
    },
  },
  {
    what: 'two members with different events under one sequence',
    rule: 'order',
    plant: ({ room, bert }) => {
      room.foreign(7)
      bert.saw(7, idOf(7))
      room.reader('carl', { from: 7 }).saw(7, idOf(8))
    },
  },
  {
    what: 'commands of a lineage in the wrong order',
    rule: 'order',
    plant: ({ outbox, bert }) => {
      for (const n of [6, 7]) outbox.sent(n)
      outbox.acked(6, 8, idOf(8))
      outbox.acked(7, 7, idOf(7))
      bert.saw(7, idOf(7))
      bert.saw(8, idOf(8))
    },
  },
  {
    what: 'the content of another command under an acked sequence',
    rule: 'order',
    plant: ({ room, outbox }) => {
      const late = room.reader('bert/2', { from: 6 })
      const other = room.outbox('carl/1')
      other.sent(1)
      other.refused(1)
      outbox.sent(6)
      outbox.refused(6)
      late.saw(6, idOf(6), outbox, 4)
    },
  },
  {
    what: 'an event past a removal',
    rule: 'leak',
    plant: ({ room, bert }) => {
      room.foreign(7)
      bert.saw(7, idOf(7))
      const removed = room.reader('carl')
      for (let seq = 1; seq <= 6; seq++) removed.saw(seq, idOf(seq))
      removed.until(6)
      removed.saw(7, idOf(7))
    },
  },
  {
    what: 'an event past a removal, known of only later',
    rule: 'leak',
    plant: ({ room }) => {
      const removed = room.reader('carl')
      for (let seq = 1; seq <= 6; seq++) removed.saw(seq, idOf(seq))
      removed.until(5)
    },
  },
  {
    what: 'an event from before a join',
    rule: 'leak',
    plant: ({ room }) => {
      const added = room.reader('carl', { from: 5 })
      for (const seq of [4, 5, 6]) added.saw(seq, idOf(seq))
    },
  },
  {
    what: 'an event that nobody sent',
    rule: 'phantom',
    plant: ({ room, bert, outbox }) => {
      room.foreign(7)
      bert.saw(7, idOf(7), outbox, 6)
    },
  },
  {
    what: 'an ack of a command that was never sent',
    rule: 'phantom',
    plant: ({ outbox }) => outbox.acked(6, 7, idOf(7)),
  },
  {
    what: 'a command that was refused for good and is there',
    rule: 'phantom',
    plant: ({ room, bert, outbox }) => {
      outbox.sent(6)
      outbox.refused(6)
      room.foreign(7)
      bert.saw(7, idOf(7), outbox, 6)
    },
  },
  {
    what: 'a resend that got another ack',
    rule: 'ack',
    plant: ({ outbox, room, bert }) => {
      outbox.acked(5, 7, idOf(7))
      room.foreign(7)
      bert.saw(7, idOf(7))
    },
  },
  {
    what: 'a resend that got the sequence of its ack with another id',
    rule: 'lost',
    plant: ({ outbox }) => outbox.acked(5, 6, idOf(60)),
  },
  {
    what: 'an ack after a refusal for good',
    rule: 'ack',
    plant: ({ outbox }) => {
      outbox.sent(6)
      outbox.refused(6)
      outbox.acked(6, 7, idOf(7))
    },
  },
  {
    what: 'a refusal for good after an ack',
    rule: 'ack',
    plant: ({ outbox }) => outbox.refused(5),
  },
  {
    what: 'two commands acked by one event',
    rule: 'ack',
    plant: ({ room }) => {
      const other = room.outbox('carl/1')
      other.sent(1)
      other.acked(1, 6, idOf(6))
    },
  },
  {
    what: 'a command that is still unanswered when all is settled',
    rule: 'balance',
    plant: ({ outbox }) => outbox.sent(6),
  },
  {
    what: 'an event that no ack accounts for',
    rule: 'balance',
    plant: ({ bert, anna }) => {
      bert.saw(7, idOf(7))
      anna.saw(7, idOf(7))
    },
  },
  {
    what: 'a read position that fell',
    rule: 'position',
    plant: ({ check }) => {
      check.position('read of bert in dm', 5)
      check.position('read of bert in dm', 4)
    },
  },
  {
    what: 'time that fell within a room',
    rule: 'position',
    plant: ({ bert }) => {
      bert.time(2, 1000)
      bert.time(3, 999)
    },
  },
  {
    what: 'a sequence that is none',
    rule: 'order',
    plant: ({ room }) => {
      room.reader('bert/2', { from: 0 }).saw(0, idOf(0))
    },
  },
]

t.test('a good history has no violation', async (t) => {
  const { check, bert } = good()
  check.position('cursor of bert', 5)
  check.position('cursor of bert', 5)
  check.position('cursor of bert', 9)
  check.position('cursor of anna', 1)
  t.same(check.finish({ settled: true }), [])
  t.equal(check.total, 0)
  t.equal(check.acked, 5)
  t.equal(bert.delivered, 6)
})

t.test('every rule is broken by some planted fault', async (t) => {
  const planted = new Set(PLANTED.map((one) => one.rule))
  t.same([...planted].sort(), Object.keys(RULES).sort())
})

for (const { what, rule, plant } of PLANTED) {
  t.test(`${rule}: ${what}`, async (t) => {
    const scene = good()
    plant(scene)
    const violations = scene.check.finish({ settled: true })
    t.ok(
      violations.some((one) => one.rule === rule),
      `found as ${rule}`,
      { violations },
    )
    t.ok((scene.check.counts[rule] ?? 0) > 0)
  })
}

t.test('what clients and servers may do is no violation', async (t) => {
  const { check, room, bert, outbox } = good()
  // A resend with the same ack, and a repeated delivery.
  outbox.sent(5)
  outbox.acked(5, 6, idOf(6))
  bert.saw(6, idOf(6), outbox, 5)
  t.equal(bert.repeats, 1)
  // A hole on the live path, healed by a range fetch.
  const late = room.reader('bert/2')
  late.saw(1, idOf(1))
  late.saw(4, idOf(4))
  t.same(late.missing(), { first: 2, last: 3 })
  for (const seq of [2, 3, 4, 5, 6]) late.saw(seq, idOf(seq))
  t.equal(late.missing(), undefined)
  // Time stands still, and what comes late is older.
  late.time(4, 1000)
  late.time(2, 900)
  late.time(5, 1000)
  // A member from the middle, one until the middle, and one who is shown a skip range for what is hidden.
  const added = room.reader('carl', { from: 4 })
  for (const seq of [4, 5, 6]) added.saw(seq, idOf(seq))
  const removed = room.reader('dora')
  for (const seq of [1, 2, 3]) removed.saw(seq, idOf(seq))
  removed.until(3)
  const shown = room.reader('emil', { strict: true })
  shown.saw(1, idOf(1))
  shown.skipped(2, 5)
  shown.saw(6, idOf(6))
  // A command refused for good.
  outbox.sent(6)
  outbox.refused(6)
  outbox.refused(6)
  t.same(check.finish({ settled: true }), [])
})

t.test('an unsettled history may lack answers, not acked events', async (t) => {
  const { check, bert, anna, outbox } = good()
  outbox.sent(6)
  outbox.sent(7)
  t.equal(outbox.unanswered, 2)
  anna.saw(7, idOf(7))
  bert.saw(7, idOf(7), outbox, 6)
  t.same(check.finish({ settled: false }), [])
})

t.test('a bug of the harness is not taken for a violation', async (t) => {
  const { outbox } = good()
  t.throws(() => outbox.sent(7), { message: /7 sent after 5/ })
})

t.test('all are counted, some kept in words', async (t) => {
  const { check, room } = good()
  const reader = room.reader('carl', { strict: true })
  for (let i = 0; i < 1000; i++) reader.saw(1, idOf(1))
  t.equal(check.counts.duplicate, 999)
  t.equal(check.violations.length, 200)
  t.equal(check.total, 999)
})

t.test(
  'any interleaving of a good history is good, and any single swap of ids is found',
  async () => {
    const histories = fc.record({
      size: fc.integer({ min: 2, max: 60 }),
      seed: fc.array(fc.nat(), { minLength: 200, maxLength: 200 }),
      swap: fc.option(fc.nat(), { nil: undefined }),
    })
    fc.assert(
      fc.property(histories, ({ size, seed, swap }) => {
        const check = new Invariants()
        const room = check.room('g')
        const outbox = room.outbox('anna/1')
        const readers = ['bert', 'carl'].map((name) => room.reader(name))
        for (let n = 1; n <= size; n++) outbox.sent(n)
        const wrong = swap === undefined ? 0 : 1 + (swap % (size - 1))
        const steps: (() => void)[] = []
        for (let n = 1; n <= size; n++) {
          steps.push(() => outbox.acked(n, n, idOf(n)))
          for (const reader of readers) {
            const swapped = reader === readers[1] && (n === wrong || n === wrong + 1)
            const other = n === wrong ? wrong + 1 : wrong
            steps.push(() => reader.saw(n, idOf(wrong > 0 && swapped ? other : n)))
          }
        }
        for (let i = steps.length - 1; i > 0; i--) {
          const j = seed[i % seed.length]! % (i + 1)
          ;[steps[i], steps[j]] = [steps[j]!, steps[i]!]
        }
        for (const step of steps) step()
        return check.finish({ settled: true }).length > 0 === wrong > 0
      }),
    )
  },
)

t.test('ranges are a set of sequences', async () => {
  const adds = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 6 })))
  fc.assert(
    fc.property(adds, (list) => {
      const ranges = new Ranges()
      const plain = new Set<number>()
      for (const [first, more] of list) {
        const before = plain.size
        for (let seq = first; seq <= first + more; seq++) plain.add(seq)
        if (ranges.add(first, first + more) !== plain.size - before) return false
      }
      const hole = ranges.missing(1, 50)
      let first = 1
      while (plain.has(first)) first++
      let last = first
      while (last < 50 && !plain.has(last + 1)) last++
      for (let seq = 1; seq < 50; seq++) if (ranges.has(seq) !== plain.has(seq)) return false
      return hole?.first === first && hole.last === last && ranges.highest === Math.max(0, ...plain)
    }),
  )
})
