import t from 'tap'
import { drawFaults } from './chaos/faults.ts'
import type { Sum } from './load/fleet.ts'
import { Random } from './load/random.ts'
import { Histogram } from './measure/histogram.ts'
import { readOptions } from './options.ts'
import { summarize } from './results.ts'
import { isCorrect, isOver, judgedOf, type Row, rowOf } from './row.ts'
import { findKnee } from './scenarios/knee.ts'
import { pairs } from './scenarios/scenario.ts'
import { parseUsers } from './servers/seed.ts'
import { dealRooms, type Window } from './stage.ts'

t.test('options: what is given, what is not, what is wrong', async (t) => {
  const plain = readOptions(['dm-max'])
  t.match(plain, { scenario: 'dm-max', json: false, rounds: 3, topology: 'split', settings: [] })
  t.equal(plain.pairs, undefined)
  const full = 'dm-ack --rate 200,1000 --json --rounds 5 --one-process --no-save --durability B'
  t.match(readOptions([...full.split(' '), '--', '--partitions', '16']), {
    scenario: 'dm-ack',
    json: true,
    rates: [200, 1000],
    rounds: 5,
    topology: 'one',
    save: false,
    durability: 'B',
    settings: ['--partitions', '16'],
  })
  t.throws(() => readOptions(['dm-max', '--pairs', 'many']), { message: /--pairs.*"many"/ })
  t.throws(() => readOptions(['dm-max', '--rate', '10,0']), { message: /--rate/ })
  t.throws(() => readOptions(['dm-max', '--durability', 'C']), { message: /A or B/ })
  t.throws(() => readOptions(['dm-max', '--speed', '9']), { message: /--speed/ })
})

t.test('users are read from the lines of `seed`', async (t) => {
  const user = { user: 'u1', device: 'v1', handle: 'h', accessToken: 'a', resumeToken: 'r' }
  t.same(parseUsers(`starting\n${JSON.stringify(user)}\n${JSON.stringify(user)}\n`), [user, user])
  t.throws(() => parseUsers('{"user":"u1"}'), { message: /not a user/ })
})

t.test('rooms are dealt out whole, with all their users', async (t) => {
  const { users, rooms } = pairs(5)
  const shares = dealRooms(rooms, 2)
  t.same(
    shares.map((share) => share.rooms.length),
    [3, 2],
  )
  t.equal(new Set(shares.flatMap((share) => share.members)).size, users)
  for (const { members, rooms } of shares) {
    for (const { members: locals, senders } of rooms) {
      t.same(senders, [locals[0]])
      t.equal(members[locals[1]!], members[locals[0]!]! + 1, 'the pair is still a pair')
    }
  }
})

const sumOf = (settled: boolean): Sum => {
  const [ack, delivery, lag] = [new Histogram(), new Histogram(), new Histogram()]
  for (let us = 1000; us <= 2000; us++) ack.record(us)
  delivery.record(3000)
  return { settled, due: 1001, ack, delivery, lag }
}

const windowOf = (changes: Partial<Window> = {}): Window => ({
  sum: sumOf(true),
  ackedPerSecond: 10_000,
  deliveredPerSecond: 20_000,
  cores: new Map([
    ['gateway', 0.25],
    ['host', 0.15],
    ['nats', 0.1],
  ]),
  generators: [0.3, 0.4],
  othersCores: 0.1,
  openBefore: 10,
  openAfter: 10,
  ...changes,
})

t.test('a row: messages or deliveries per second of CPU of all servers', async (t) => {
  const row = rowOf('50x16', windowOf())
  t.match(row, {
    variant: '50x16',
    perServerCpuSecond: 20_000,
    rate: 10_000,
    usPerMessage: { gateway: 25, host: 15, nats: 10 },
    over: false,
    invalid: [],
    lag: undefined,
  })
  t.equal(row.ack?.count, 1001)
  t.equal(rowOf('x', windowOf(), { figure: 'deliveries' }).perServerCpuSecond, 40_000)
})

t.test(
  'a row whose generator had no time, or that lost sight of a message, does not count',
  async (t) => {
    t.match(rowOf('x', windowOf({ generators: [0.2, 0.93] })).invalid, [/generator 1 used 0.93/])
    t.match(rowOf('x', windowOf({ sum: sumOf(false) })).invalid, [/not everything was acked/])
  },
)

t.test('a rate that is not held has no latency', async (t) => {
  t.notOk(isOver(windowOf(), 10_000))
  t.ok(isOver(windowOf(), 12_000), 'too few were acked')
  t.ok(isOver(windowOf({ openAfter: 2600 }), 10_000), 'the queue grew')
  const row = rowOf('x', windowOf({ openAfter: 2600 }), { targetRate: 10_000 })
  t.match(row, { over: true, ack: undefined, delivery: undefined })
})

t.test('the median round stands for a variant, beside its spread', async (t) => {
  const rows = [10, 30, 20].map((factor) =>
    rowOf('50x16', windowOf({ ackedPerSecond: factor * 1000 })),
  )
  const judged = judgedOf([])
  const [summary, ...more] = summarize(rows.map((row: Row) => ({ rows: [row], judged })))
  t.same(more, [])
  t.match(summary, { perServerCpuSecond: 40_000, rounds: 3 })
  t.same(summary?.perServerCpuSecondSpread, { median: 40_000, min: 20_000, max: 60_000 })
})

t.test('verdicts of processes add up; one violation or problem fails the run', async (t) => {
  const clean = {
    acked: 5,
    delivered: 7,
    violations: {},
    words: [],
    problems: [],
    refusals: { rate: 2 },
    healed: 0,
    repeats: 1,
    compared: 2,
    sessionsLost: 0,
  }
  const judged = judgedOf([clean, clean])
  t.match(judged, { acked: 10, delivered: 14, lost: 0, duplicates: 0, refusals: { rate: 4 } })
  t.ok(isCorrect(judged))
  const bad = judgedOf([
    clean,
    { ...clean, violations: { lost: 1, hole: 2, duplicate: 3, order: 1 } },
  ])
  t.match(bad, { lost: 3, duplicates: 3 })
  t.notOk(isCorrect(bad))
  t.notOk(isCorrect(judgedOf([{ ...clean, problems: ['a session ended'] }])))
})

t.test('every role dies before any dies again; the same seed draws the same', async (t) => {
  const roles = ['gateway', 'host', 'nats'] as const
  const faults = drawFaults(30, roles, new Random(7))
  t.same(drawFaults(30, roles, new Random(7)), faults)
  for (let i = 0; i < faults.length; i += 3) {
    t.same(new Set(faults.slice(i, i + 3).map(({ role }) => role)), new Set(roles))
  }
  t.ok(faults.some(({ also }) => also !== undefined))
  for (const { role, also } of faults) t.not(also?.role, role)
})

t.test('the knee lies between the highest rate that held and one that did not', async (t) => {
  for (const truth of [4000, 4100, 9000, 23_456]) {
    const tried: number[] = []
    const knee = await findKnee(4000, async (rate) => {
      tried.push(rate)
      return rate <= truth
    })
    t.ok(knee !== undefined && knee <= truth && tried.includes(knee))
    const above = Math.min(...tried.filter((rate) => rate > truth))
    t.ok(above - knee! <= knee! * 0.07, `${knee} … ${above} for ${truth}`)
  }
  t.equal(await findKnee(4000, async () => false), undefined)
})

t.test('gaps come at random with their mean', async (t) => {
  const random = new Random(5)
  let sum = 0
  for (let i = 0; i < 20_000; i++) sum += random.gap(100)
  t.ok(Math.abs(sum / 20_000 - 100) < 4, `${sum / 20_000}`)
})
