import t from 'tap'
import { fillOf, isStale, roomTargets, trimTargets } from './trim-targets.ts'

const all = {
  checkpoints: [40, 50],
  floors: [60],
  lastRecords: [70, 80],
  inboxFloors: [9, 12],
}

const cases: [string, Partial<Record<keyof typeof all, (number | undefined)[]>>, object][] = [
  ['the checkpoints', {}, { log: 40, inbox: 9 }],
  ['the floors of projections', { floors: [60, 30] }, { log: 30, inbox: 9 }],
  ['a partition that has long been silent', { lastRecords: [70, 20] }, { log: 20, inbox: 9 }],
  ['a partition without record', { lastRecords: [70, undefined] }, { inbox: 9 }],
  ['a partition without checkpoint', { checkpoints: [undefined, 50] }, { inbox: 9 }],
  ['a checkpoint at the start', { checkpoints: [0, 50] }, { inbox: 9 }],
  ['a projection without floor', { floors: [60, undefined] }, { inbox: 9 }],
  ['an inbox without floor', { inboxFloors: [undefined, 12] }, { log: 40 }],
  ['nothing to go by', { checkpoints: [], floors: [], lastRecords: [], inboxFloors: [] }, {}],
]
for (const [what, given, expected] of cases) {
  t.test(`L0 trimming is held up by ${what}`, async (t) => {
    t.strictSame(trimTargets({ ...all, ...given }), expected)
  })
}

t.test('L0 a full log is trimmed by partition, each down to its last record', async (t) => {
  t.same(roomTargets({ checkpoints: [40, 50], floors: [90], lastRecords: [35, 80] }), [35, 50])
  t.same(
    roomTargets({ checkpoints: [40, undefined], floors: [20], lastRecords: [35, 80] }),
    [20, undefined],
    'one without checkpoint keeps all',
  )
  t.same(
    roomTargets({ checkpoints: [40, 50], floors: [undefined], lastRecords: [35, 80] }),
    [undefined, undefined],
    'a missing floor is 0',
  )
  t.same(
    roomTargets({ checkpoints: [40, 50], floors: [60], lastRecords: [undefined, 80] }),
    [undefined, 50],
    'one without a record, too',
  )
})

t.test('L0 a partition is stale far behind its stream, in records or in bytes', async (t) => {
  const stream = { lastSeq: 100_000, messages: 1000, bytes: 1_000_000, maxBytes: 10 ** 9 }
  t.notOk(isStale(50_000, stream))
  t.ok(isStale(49_999, stream))
  const small = { ...stream, maxBytes: 2_000_000 }
  t.notOk(isStale(99_800, small))
  t.ok(isStale(99_799, small))
  t.notOk(isStale(99_000, { ...stream, maxBytes: -1 }), 'without a limit only records count')
  t.notOk(isStale(100_000, { ...small, messages: 0, bytes: 0 }))
})

t.test('how full a stream is', async (t) => {
  const stream = { lastSeq: 1, messages: 1, bytes: 80, maxBytes: 100 }
  t.equal(fillOf(stream), 0.8)
  t.equal(fillOf({ ...stream, maxBytes: -1 }), 0)
})
