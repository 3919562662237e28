import t from 'tap'
import { Judge } from './judge.ts'

const ROOM = 'dabc'
const TEXT = ['#1# שלום', '#2# 🙂', '#3# e\u0301']

const printed = (seq: number, text: string, id = String(10_000_000_000n + BigInt(seq))): string =>
  JSON.stringify({ room: ROOM, seq, id, time: 1000 + seq, sender: 'uann', text })
const CREATED = JSON.stringify({
  ...{ room: ROOM, seq: 1, id: '9', time: 1000, sender: 'uann', kind: 'created' },
})

/** All acked, and a screen that showed it all, with what `tamper` makes of that. */
const judged = (tamper: (shown: string[], acks: string[]) => void): string[] => {
  const judge = new Judge(ROOM, 'ann', TEXT)
  const acks = TEXT.map((text, i) => printed(i + 2, text))
  const shown = [CREATED, ...acks]
  tamper(shown, acks)
  for (const line of acks) judge.ack(line)
  const screen = judge.screen('bob')
  for (const line of shown) screen(line)
  return judge.invariants.finish({ settled: true }).map(({ rule }) => rule)
}

t.test('a text that arrived as it was sent', async (t) => {
  t.same(
    judged(() => {}),
    [],
  )
})

const PLANTED: readonly [string, string, (shown: string[], acks: string[]) => void][] = [
  ['a line that is not shown', 'hole', (shown) => shown.splice(2, 1)],
  ['a last line that is not shown', 'hole', (shown) => shown.pop()],
  ['a line shown twice', 'duplicate', (shown) => shown.splice(2, 0, shown[1]!)],
  ['a line sent twice', 'duplicate', (shown) => shown.push(printed(5, TEXT[0]!))],
  [
    'two lines shown in each other’s place',
    'hole',
    (shown) => shown.splice(1, 2, shown[2]!, shown[1]!),
  ],
  [
    'two texts in each other’s place',
    'order',
    (shown) => shown.splice(1, 2, printed(2, TEXT[1]!), printed(3, TEXT[0]!)),
  ],
  [
    'a composed letter',
    'phantom',
    (shown) => shown.splice(3, 1, printed(4, TEXT[2]!.normalize('NFC'))),
  ],
  ['a letter that is cut off', 'phantom', (shown) => shown.splice(2, 1, printed(3, '#2# \ufffd'))],
  [
    'another id than the ack said',
    'lost',
    (shown) => shown.splice(2, 1, printed(3, TEXT[1]!, '7')),
  ],
  ['a line that was never acked', 'balance', (_, acks) => acks.pop()],
]

for (const [what, rule, tamper] of PLANTED) {
  t.test(`${rule}: ${what}`, async (t) => {
    const rules = judged(tamper)
    t.ok(rules.includes(rule), `found as ${rule}`, { rules })
  })
}

t.test('lines that are missing are counted', async (t) => {
  const judge = new Judge(ROOM, 'ann', TEXT)
  t.equal(judge.missing(4), 3, 'no ack yet')
  for (const [i, text] of TEXT.entries()) judge.ack(printed(i + 2, text))
  t.equal(judge.missing(4), 0)
  const [all, some] = [judge.screen('all'), judge.screen('some')]
  judge.screen('none')
  const shown = [CREATED, ...TEXT.map((text, i) => printed(i + 2, text))]
  for (const line of shown) all(line)
  for (const line of shown.slice(0, 3)) some(line)
  t.equal(judge.missing(4), 1 + 4)
})

t.test('a text with two equal lines proves nothing, and is refused', async (t) => {
  t.throws(() => new Judge(ROOM, 'ann', ['a', 'b', 'a']))
})
