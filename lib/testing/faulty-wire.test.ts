import t from 'tap'
import type { Message, Nats } from '../bus/bus.ts'
import { eventually } from './eventually.ts'
import { chance, type Fate, faultyWire } from './faulty-wire.ts'
import { sameBytes } from './log-owner.ts'
import { seeded } from './seeded.ts'

/** A connection that keeps what it is given. */
const stage = (fates: readonly Fate[] = []) => {
  const out: string[] = []
  const told: string[] = []
  let arrive: (token: string, message: Message) => void = () => {}
  let receive: (message: Message) => void = () => {}
  const nats = {
    connected: true,
    publish: (subject: string) => out.push(subject),
    subscribe: (_subject: string, onMessage: typeof receive) => {
      receive = onMessage
      return () => {}
    },
    inbox: (onMessage: typeof arrive) => {
      arrive = onMessage
      return { prefix: '_INBOX.x', close: () => {} }
    },
    streams: {
      append: (_subject: string, data: Uint8Array) => out.push(String(data[0])),
      get: async () => undefined,
    },
  } as unknown as Nats
  const queue = [...fates]
  const next = () => queue.shift() ?? 'pass'
  const wire = faultyWire(nats, { append: next, answer: next })
  wire.inbox((token) => told.push(token))
  wire.subscribe('s', ({ subject }) => told.push(subject))
  const message = (subject: string): Message => ({ subject, data: new Uint8Array(), reply: '' })
  return {
    wire,
    out,
    told,
    append: (n: number, reply = 'r') => wire.streams.append('log.0', Uint8Array.of(n), 0, reply),
    answer: (token: string) => arrive(token, message(token)),
    message: (subject: string) => receive(message(subject)),
  }
}

t.test('loses, doubles, delays and withholds what is appended', async (t) => {
  const it = stage(['lose', 'double', { after: 1 }, 'hold', 'pass'])
  for (const n of [1, 2, 3, 4, 5]) it.append(n)
  t.same(it.out, ['2', '2', '5'])
  t.equal(it.wire.held, 1)
  await eventually('the late one comes', () => it.out.includes('3'))
  it.wire.letGo()
  t.same(it.out, ['2', '2', '5', '3', '4'])
  t.same([it.wire.held, it.wire.faults, it.wire.appends.length], [0, 4, 5])
})

t.test('and what is answered; everything else passes', async (t) => {
  const it = stage(['lose', 'double', 'hold'])
  for (const token of ['a', 'b', 'c', 'd']) it.answer(token)
  it.wire.letGo()
  it.message('m')
  it.wire.publish('p', new Uint8Array())
  t.same([it.told, it.out], [['b', 'b', 'd', 'c', 'm'], ['p']])
})

t.test('what was handed over does not change afterwards', async (t) => {
  const it = stage(['hold'])
  const bytes = Uint8Array.of(1)
  it.wire.streams.append('log.0', bytes, 0, 'r')
  bytes[0] = 9
  it.wire.letGo()
  t.same([it.out, [...it.wire.appends[0]!.data]], [['1'], [1]])
})

t.test('cut, nothing goes in or out', async (t) => {
  const it = stage(['hold', { after: 1 }])
  it.append(1)
  it.append(2)
  it.wire.cut()
  it.append(3)
  it.answer('a')
  it.message('m')
  it.wire.publish('p', new Uint8Array())
  it.wire.letGo()
  await new Promise((resolve) => setTimeout(resolve, 5))
  t.same([it.out, it.told], [[], []])
})

t.test('reads are those of the plan, where it has some', async (t) => {
  const it = stage()
  const stale = { seq: 1, subject: 's', data: new Uint8Array(), time: 0 }
  t.equal(await it.wire.streams.get('LOG_0', 1), undefined)
  it.wire.plan = { reads: { get: async () => stale } }
  t.equal(await it.wire.streams.get('LOG_0', 1), stale)
})

t.test('chance is by the seed', async (t) => {
  const odds = { lose: 0.2, double: 0.2, late: 0.2, lateMs: 10 }
  const fates = (seed: number) => {
    const { append, answer } = chance(seeded(seed), odds)
    return Array.from({ length: 200 }, () => [append({} as never), answer({} as never)])
  }
  t.same(fates(1), fates(1))
  t.notSame(fates(1), fates(2))
  const kinds = fates(1)
    .flat()
    .map((fate) => (typeof fate === 'object' ? 'late' : fate))
  for (const kind of ['lose', 'double', 'late', 'pass']) {
    t.ok(kinds.filter((its) => its === kind).length > 40, kind)
  }
})

t.test('L1 an attempt with other bytes is found', async (t) => {
  const it = stage()
  it.append(1, 'x.l.3.7.1.0')
  it.append(1, 'x.l.3.7.1.1')
  it.append(2, 'x.l.3.7.2.0')
  it.append(3, 'x.o.1')
  it.append(4, 'x.o.1')
  t.equal(sameBytes(it.wire), 1)
  it.append(9, 'x.l.3.7.2.1')
  t.throws(() => sameBytes(it.wire), /x\.l\.3\.7\.2\.1/)
})
