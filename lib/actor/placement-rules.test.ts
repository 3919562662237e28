import t from 'tap'
import type { Owner } from '../bus/cluster.ts'
import type { Incarnation } from '../ids.ts'
import type { Host } from './members.ts'
import {
  type Claim,
  claimable,
  type Knowledge,
  successorOf,
  surplus,
  takers,
} from './placement-rules.ts'

const US = 'us' as Incarnation
const ALIVE = 'alive' as Incarnation
const LEAVING = 'leaving' as Incarnation
/** Not in the view. */
const GONE = 'gone' as Incarnation
const JUST_GONE = 'just gone' as Incarnation
const REPLACED = 'replaced' as Incarnation

const hosts: Host[] = [US, ALIVE, LEAVING].map((incarnation) => ({
  incarnation,
  host: `host of ${incarnation}`,
  draining: incarnation === LEAVING,
}))

const knowledge = (given: Partial<Knowledge> = {}): Knowledge => ({
  us: US,
  exclusive: false,
  member: (incarnation) => hosts.find((host) => host.incarnation === incarnation),
  silent: (incarnation) => incarnation === GONE,
  replaced: (incarnation) => incarnation === REPLACED,
  settled: true,
  startedBy: () => undefined,
  ...given,
})

const by = (incarnation: Incarnation, handedTo?: Incarnation | 'nobody'): Owner => ({
  epoch: 5,
  incarnation,
  host: `host of ${incarnation}`,
  state: handedTo === undefined ? 'serving' : 'handed',
  ...(handedTo === undefined || handedTo === 'nobody' ? {} : { successor: handedTo }),
})

const anybody: Claim = { proven: false, by: undefined }
const us: Claim = { proven: false, by: US }
const exclusive = { exclusive: true, settled: false }
const taken = { startedBy: () => ALIVE }

const cases: [string, Owner | undefined, Claim | undefined, Partial<Knowledge>?][] = [
  ['without entry, after a window', undefined, anybody],
  ['without entry, before', undefined, undefined, { settled: false }],
  ['without entry, taken by another', undefined, undefined, taken],
  ['served by a member', by(ALIVE), undefined],
  ['served by a member that drains', by(LEAVING), undefined],
  ['served by one that is gone and silent', by(GONE), anybody],
  ['the same, taken by another', by(GONE), undefined, taken],
  ['served by one that is gone but was heard', by(JUST_GONE), undefined],
  ['served by one that is proven dead', by(REPLACED), { proven: true, by: undefined }],
  ['ours, but not running', by(US), us],
  ['handed to us', by(ALIVE, US), us],
  ['handed to us by one that is gone', by(GONE, US), us],
  ['handed to another', by(US, ALIVE), undefined],
  ['handed to one that drains', by(US, LEAVING), anybody],
  ['the same, which has begun', by(US, LEAVING), undefined, { startedBy: () => LEAVING }],
  ['handed to one that is gone and silent', by(ALIVE, GONE), anybody],
  ['handed to one that is gone but was heard', by(ALIVE, JUST_GONE), undefined],
  ['handed to nobody', by(GONE, 'nobody'), anybody],
  ['exclusive: without entry', undefined, { proven: true, by: US }, exclusive],
  ['exclusive: served by a member', by(ALIVE), { proven: true, by: US }, exclusive],
  ['exclusive: handed to another', by(ALIVE, ALIVE), { proven: true, by: US }, exclusive],
]

for (const [title, owner, expected, given] of cases) {
  t.test(`O2 a partition ${title}: ${JSON.stringify(expected ?? 'is left')}`, async (t) => {
    t.same(claimable(3, owner, knowledge(given)), expected)
  })
}

t.test('O2 hosts that drain take nothing', async (t) => {
  t.same(
    takers(hosts).map(({ incarnation }) => incarnation),
    [US, ALIVE],
  )
  for (let p = 0; p < 16; p++) {
    t.equal(successorOf(p, hosts, US), ALIVE)
    t.equal(successorOf(p, hosts, ALIVE), US)
  }
  t.equal(successorOf(0, hosts.slice(0, 1), US), undefined)
})

const spread = (...counts: [Owner, number][]): Owner[] =>
  counts.flatMap(([owner, count]) => Array<Owner>(count).fill(owner))

t.test('O2 who holds more than ceil(P/N) + 1 gives up one', async (t) => {
  const three = [...takers(hosts), { incarnation: GONE, host: 'third', draining: false }]
  // 12 of three: 4 + 1 may stay.
  t.equal(surplus(spread([by(US), 5], [by(ALIVE), 7]), three, US), undefined)
  t.match(surplus(spread([by(US), 6], [by(ALIVE), 6]), three, US), { successor: GONE })
  const least = spread([by(US), 7], [by(ALIVE), 2], [by(GONE), 3])
  t.match(surplus(least, three, US), { successor: ALIVE }, 'to whom has least')
})

t.test('O2 what is given away counts as the successor’s', async (t) => {
  const two = takers(hosts)
  const given = spread([by(US), 7], [by(US, ALIVE), 1], [by(ALIVE), 4])
  t.equal(surplus(given, two, US), undefined)
  const received = spread([by(ALIVE, US), 8], [by(ALIVE), 4])
  t.match(surplus(received, two, US), { successor: ALIVE })
  const loose = spread([by(US, 'nobody'), 8], [by(ALIVE), 4])
  t.equal(surplus(loose, two, US), undefined)
})

t.test('O2 nothing is given up when nobody else is there', async (t) => {
  t.equal(surplus(spread([by(US), 12]), hosts.slice(0, 1), US), undefined)
  t.equal(surplus([undefined, undefined], hosts, US), undefined)
})
