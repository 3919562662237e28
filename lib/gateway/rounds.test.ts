import t from 'tap'
import type { DeviceId, GatewayId, UserId } from '../ids.ts'
import { FakeBus, FakeSocket } from '../testing/gateway/fakes.ts'
import { GATEWAY_DEFAULTS } from './config.ts'
import { Hub } from './hub.ts'
import { Outgoing } from './outgoing.ts'
import { Rounds, TICK_MS } from './rounds.ts'
import type { Session } from './session.ts'

const start = () => {
  const bus = new FakeBus()
  const outgoing = new Outgoing(bus, 'wTest' as GatewayId, () => {})
  const hub = new Hub(1000, 1000)
  const late: Session[] = []
  const silent: Session[] = []
  const rounds = new Rounds({
    config: { ...GATEWAY_DEFAULTS, partitions: 4 },
    hub,
    envelopeOf: (p) => (p === 3 ? undefined : outgoing.to('hA' as never)),
    random: () => 0.5,
    onLate: (session) => late.push(session),
    onSilent: (session) => silent.push(session),
  })
  let now = 0
  const open = (state: Session['state'], partition = 0): Session => {
    const session = hub.open(new FakeSocket(), 'a', now)
    Object.assign(session, { state, partition, user: `u${session.handle}`, device: 'vD' })
    session.generation = 7
    session.position = 100 + partition
    rounds.opened(session)
    return session
  }
  const run = (ms: number, hear = true): number[] => {
    const beats: number[] = []
    for (const end = now + ms; now < end; ) {
      now += TICK_MS
      for (let slot = 0; hear && slot < hub.slots; slot++) {
        const session = hub.at(slot)
        if (session !== undefined) session.heard = now
      }
      rounds.tick(now)
      outgoing.flush()
      for (const item of bus.take()) if (item.kind === 'beat') beats.push(item.handle)
    }
    return beats
  }
  return { rounds, open, run, late, silent, outgoing, bus, hub, now: () => now }
}

t.test('R3 every open session beats once in 5 s, spread over the time', async (t) => {
  const { open, run, rounds, outgoing, bus } = start()
  const sessions = [...Array(100)].map(() => open('open'))
  const orphan = open('open', 3)
  open('asking')
  const beats = run(5000)
  t.strictSame(beats.toSorted(), sessions.map(({ handle }) => handle).toSorted())
  t.notOk(beats.includes(orphan.handle), 'nobody serves its partition')
  t.equal(run(1000).length, 20, 'a fifth of them in a fifth of the time')
  rounds.beat(sessions[0]!)
  outgoing.flush()
  t.match(bus.take(), [
    {
      kind: 'beat',
      user: sessions[0]!.user as UserId,
      device: 'vD' as DeviceId,
      generation: 7,
      position: 100,
    },
  ])
})

t.test(
  'R2 the sessions of a partition are announced within a second, the others not',
  async (t) => {
    const { open, run, rounds, now } = start()
    const here = open('open', 1)
    open('open', 2)
    run(1000)
    rounds.announce(1, now())
    t.strictSame(run(1000), [here.handle])
    t.strictSame(run(2900), [], 'once')
  },
)

t.test('after a gap all of them are', async (t) => {
  const { open, run, rounds, now } = start()
  const all = [open('open', 0), open('open', 1), open('open', 2)]
  run(1000)
  rounds.announceAll(now())
  t.strictSame(
    run(1000).toSorted(),
    all.map(({ handle }) => handle),
  )
})

t.test('no hello in 5 s, told once; silence of two heartbeats', async (t) => {
  const { open, run, late, silent } = start()
  const first = open('opening')
  run(2000)
  const second = open('opening')
  run(2900)
  t.strictSame(late, [])
  run(200)
  t.strictSame(late, [first])
  run(5000)
  t.strictSame(late, [first, second])
  t.strictSame(silent, [])
  run(60_000, false)
  t.strictSame(silent, [])
  run(5_100, false)
  t.strictSame(new Set(silent), new Set([first, second]))
})
