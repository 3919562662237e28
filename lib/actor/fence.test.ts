import t from 'tap'
import type { AppendReply, StoredMessage } from '../bus/bus.ts'
import { decodeBatch, encodeBatch } from '../protocol/records.ts'
import { TestClock } from '../testing/test-clock.ts'
import { fence } from './fence.ts'

const US = { incarnation: 'hus', host: 'us', view: 4 }
const acked = (seq: number): AppendReply => ({ ok: true, seq, stream: 'LOG_0' })
const refused = (code: number, last?: number): AppendReply => ({
  ok: false,
  code,
  last,
  text: `refused ${code}`,
})
const wrongLast = (last: number) => refused(10071, last)
const at = (seq: number, data: Uint8Array): StoredMessage => ({
  seq,
  data,
  subject: 'log.0',
  time: 0,
})
/** A record of another owner. */
const theirs = (seq: number, view: number) =>
  at(seq, encodeBatch({ epoch: 3, number: 9, prev: seq - 1, view, records: [{ kind: 'tick' }] }))

type Step = (bytes: Uint8Array) => AppendReply | undefined

/** Answers the appends in turn; the last step goes on for ever. */
const stage = (steps: readonly Step[], last?: StoredMessage) => {
  const appends: { bytes: Uint8Array; expected: number }[] = []
  const stored = new Map<number, StoredMessage>()
  const reads: number[] = []
  const alarms: string[] = []
  const clock = new TestClock()
  const life = new AbortController()
  return {
    appends,
    stored,
    reads,
    alarms,
    clock,
    life,
    nonces: () =>
      appends.map(({ bytes }) => {
        const [record] = decodeBatch(bytes).records
        return record?.kind === 'epoch' ? record.nonce : ''
      }),
    run: () =>
      fence(
        {
          clock,
          last: async () => last,
          get: async (seq) => {
            reads.push(seq)
            return stored.get(seq)
          },
          append: async (bytes, expected) => {
            appends.push({ bytes: bytes.slice(), expected })
            return (steps[appends.length - 1] ?? steps.at(-1)!)(bytes)
          },
          alarm: (text) => alarms.push(text),
        },
        US,
        life.signal,
      ),
  }
}

t.test('owner start 1, 2: the epoch record follows the hint; its sequence is E', async (t) => {
  const its = stage([() => acked(9)], theirs(8, 1))
  t.same(await its.run(), { kind: 'owned', epoch: 9, prev: 8 })
  t.equal(its.appends[0]?.expected, 8)
  t.match(decodeBatch(its.appends[0]!.bytes), {
    epoch: 0,
    prev: 8,
    view: 4,
    records: [{ kind: 'epoch', incarnation: 'hus', host: 'us', nonce: /.{10}/ }],
  })
})

t.test('owner start 2: an empty log', async (t) => {
  const its = stage([() => acked(1)])
  t.same(await its.run(), { kind: 'owned', epoch: 1, prev: 0 })
  t.equal(its.appends[0]?.expected, 0)
})

t.test(
  'owner start 2: a stale hint is raised by what stands there, with a fresh nonce',
  async (t) => {
    const its = stage([() => wrongLast(12), () => acked(13)], theirs(8, 1))
    its.stored.set(12, theirs(12, 4))
    t.same(await its.run(), { kind: 'owned', epoch: 13, prev: 12 })
    t.same(
      its.appends.map(({ expected }) => expected),
      [8, 12],
    )
    const [first, second] = its.nonces()
    t.not(first, second)
    t.equal(decodeBatch(its.appends[1]!.bytes).prev, 12)
  },
)

t.test('owner start 2: its own record is found by its nonce, whichever it was', async (t) => {
  let first: Uint8Array = new Uint8Array()
  const its = stage(
    [
      (bytes) => {
        first = bytes.slice()
        return undefined
      },
      () => {
        its.stored.set(9, at(9, first))
        return wrongLast(9)
      },
    ],
    theirs(8, 1),
  )
  t.same(await its.run(), { kind: 'owned', epoch: 9, prev: 8 })
  t.same(its.appends[0], its.appends[1], 'no answer: the same bytes again')
})

t.test('owner start 2: yields to a newer view, whatever record it is in', async (t) => {
  for (const records of [
    [{ kind: 'tick' } as const],
    [{ kind: 'epoch', nonce: 'x', incarnation: 'hb', host: 'b' } as const],
    [{ kind: 'handover', successor: 'hb' } as const],
  ]) {
    const its = stage([() => wrongLast(12)], theirs(8, 1))
    its.stored.set(12, at(12, encodeBatch({ epoch: 3, number: 1, prev: 8, view: 5, records })))
    t.same(await its.run(), { kind: 'yield', view: 5 })
    t.equal(its.appends.length, 1)
  }
})

t.test(
  'owner start 2: a replica without the record is asked 8 times, then a publish again',
  async (t) => {
    const its = stage([() => wrongLast(12), () => wrongLast(14), () => acked(15)], theirs(8, 1))
    its.stored.set(14, theirs(14, 1))
    t.same(await its.run(), { kind: 'owned', epoch: 15, prev: 14 })
    t.same(its.reads, [...Array(8).fill(12), 14])
    t.same(its.appends[1], its.appends[0], 'the same bytes')
  },
)

t.test('owner start 2: anything else decides nothing, and the same bytes go again', async (t) => {
  const its = stage([
    () => undefined,
    () => refused(10164),
    () => refused(10077),
    () => refused(503),
    () => refused(10071),
    () => acked(1),
  ])
  t.same(await its.run(), { kind: 'owned', epoch: 1, prev: 0 })
  t.equal(its.appends.length, 6)
  for (const append of its.appends) t.same(append, its.appends[0])
  t.same(its.reads, [])
})

t.test(
  'owner start 2: a log shorter than it was: an alarm after 30 s, the hint never lowered',
  async (t) => {
    const its = stage(
      [
        () => wrongLast(3),
        () => {
          its.clock.pass(30_000)
          return wrongLast(3)
        },
        () => {
          its.clock.pass(1)
          return refused(503)
        },
        () => wrongLast(3),
        () => {
          its.clock.pass(30_001)
          return wrongLast(3)
        },
        () => acked(9),
      ],
      theirs(8, 1),
    )
    t.same(await its.run(), { kind: 'owned', epoch: 9, prev: 8 })
    t.equal(its.alarms.length, 1, 'only where it persisted')
    for (const append of its.appends) t.same(append, its.appends[0])
  },
)

t.test('a hint that is not to be had is asked for again; an abort ends it', async (t) => {
  const its = stage([() => refused(503)])
  const clock = new TestClock()
  let asked = 0
  const port = {
    clock,
    last: async () => {
      if (++asked < 3) throw new Error('no leader')
      return theirs(8, 1)
    },
    get: async () => undefined,
    append: async (_bytes: Uint8Array, expected: number) => {
      t.equal(expected, 8)
      its.life.abort(new Error('enough'))
      return undefined
    },
    alarm: () => {},
  }
  await t.rejects(fence(port, US, its.life.signal))
  t.equal(asked, 3)
})
