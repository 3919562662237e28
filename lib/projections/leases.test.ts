import t, { type Test } from 'tap'
import { systemClock } from '../clock.ts'
import { createLog } from '../log.ts'
import { eventually } from '../testing/eventually.ts'
import { changeWanted, Leases } from './leases.ts'
import { MemoryBucket } from './memory.fixture.ts'
import type { Wanted } from './shares.ts'

const TIMING = { beatMs: 10, windowMs: 150 }
/** Nobody is dead for being silent. */
const PATIENT = { beatMs: 10, windowMs: 60_000 }

/** What one process can reach: buckets that it is cut off from when the test says so. */
class Reach extends MemoryBucket {
  readonly #of: MemoryBucket
  cut = false
  /** What it says arrives, what others say does not. */
  deaf = false

  constructor(of: MemoryBucket) {
    super()
    this.#of = of
  }
  #there(): MemoryBucket {
    if (this.cut) throw new Error('cut off')
    return this.#of
  }
  override async get(key: string) {
    return this.#there().get(key)
  }
  override async put(key: string, value: Uint8Array) {
    return this.#there().put(key, value)
  }
  override async cas(key: string, value: Uint8Array, expected: number) {
    return this.#there().cas(key, value, expected)
  }
  override async remove(key: string) {
    return this.#there().remove(key)
  }
  override async watch(...[onEntry, onReady]: Parameters<MemoryBucket['watch']>) {
    return this.#there().watch(
      (entry) => {
        if (!this.cut && !this.deaf) onEntry(entry)
      },
      () => {
        if (!this.deaf) onReady?.()
      },
    )
  }
}

const stage = (t: Test, streams: number, timing = TIMING) => {
  const members = new MemoryBucket()
  const cluster = new MemoryBucket()
  const log = createLog({ level: 'error', format: 'text' })
  const join = (id: string, exclusive = false) => {
    const reach = [new Reach(members), new Reach(cluster)] as const
    const taken: [number, number][] = []
    const seen: Wanted[] = []
    /** Losing waits for it: a follower with a write in work. */
    const busy = { until: Promise.resolve() }
    const leases = new Leases(
      {
        ...{ members: reach[0], cluster: reach[1], projection: 'history', streams, exclusive },
        ...{ member: { id, host: 'test', pid: 1 }, clock: systemClock, log, timing },
      },
      {
        take: (stream, epoch) => taken.push([stream, epoch]),
        lose: () => busy.until,
        wanted: (wanted) => seen.push(wanted),
      },
    )
    leases.start()
    let stopped = false
    const stop = () => {
      stopped = true
      return leases.stop()
    }
    t.teardown(async () => {
      if (!stopped) await stop()
    })
    const cut = (on: boolean) => {
      for (const bucket of reach) bucket.cut = on
    }
    const deafen = () => {
      for (const bucket of reach) bucket.deaf = true
    }
    return { id, leases, taken, seen, busy, stop, cut, deafen, held: () => [...leases.held].sort() }
  }
  return { members, cluster, join }
}

const sum = (list: readonly number[]) => list.reduce((all, one) => all + one, 0)
const sizes = (...of: { held(): number[] }[]) => of.map((one) => one.held().length)

t.test('one process takes every stream, once', async (t) => {
  const { join } = stage(t, 3)
  const a = join('a')
  await eventually('it has all', () => a.held().length === 3)
  t.same(a.taken, [
    [0, 1],
    [1, 1],
    [2, 1],
  ])
})

t.test('a second one gets its half; each stream has one holder', async (t) => {
  const { join } = stage(t, 4)
  const a = join('a')
  await eventually('the first has all', () => a.held().length === 4)
  const b = join('b')
  await eventually('they share', () => String(sizes(a, b)) === '2,2')
  t.same([...a.held(), ...b.held()].sort(), [0, 1, 2, 3])
  t.ok(
    b.taken.every(([, epoch]) => epoch === 2),
    'under the next epoch',
  )
  const c = join('c')
  await eventually('three share', () => sizes(a, b, c).sort().join() === '1,1,2')
  t.same([...a.held(), ...b.held(), ...c.held()].sort(), [0, 1, 2, 3])
})

t.test('more processes than streams: who is over waits', async (t) => {
  const { join } = stage(t, 1)
  const [a, b] = [join('a'), join('b')]
  await eventually('one has it', () => sum(sizes(a, b)) === 1)
  const holder = a.held().length === 1 ? a : b
  const other = holder === a ? b : a
  await holder.stop()
  await eventually('the other takes over', () => other.held().length === 1)
})

t.test(
  'who stops gives back after its follower has ended, and others take over at once',
  async (t) => {
    const { join } = stage(t, 2, PATIENT)
    const a = join('a')
    await eventually('it has all', () => a.held().length === 2)
    const b = join('b')
    await eventually('they share', () => String(sizes(a, b)) === '1,1')
    const writing = Promise.withResolvers<void>()
    a.busy.until = writing.promise
    const stopping = a.stop()
    const [its] = a.held()
    t.notOk(b.held().includes(its!), 'while a write is in work')
    writing.resolve()
    await stopping
    await eventually('it has all', () => b.held().length === 2)
  },
)

t.test('a follower that is slow to end keeps its process from nothing', async (t) => {
  const { join, members } = stage(t, 2)
  const a = join('a')
  await eventually('it has all', () => a.held().length === 2)
  const writing = Promise.withResolvers<void>()
  a.busy.until = writing.promise
  const b = join('b')
  const beats = () => (members.json('history.member.a') as { beat: number } | undefined)?.beat ?? 0
  const before = beats()
  await eventually('it still shows that it lives', () => beats() > before + 30)
  t.same([a.held(), b.held()], [[0, 1], []], 'nothing is taken from it')
  writing.resolve()
  await eventually('they share', () => String(sizes(a, b)) === '1,1')
})

t.test('who dies is noticed by its silence', async (t) => {
  const { join, members } = stage(t, 2)
  const [a, b] = [join('a'), join('b')]
  await eventually('they share', () => String(sizes(a, b)) === '1,1')
  a.cut(true)
  await eventually('the other has all', () => b.held().length === 2)
  t.notOk(members.json('history.member.a'), 'its entry is gone')
  a.cut(false)
  await eventually('it comes back, and they share again', () => String(sizes(a, b)) === '1,1')
  t.same([...a.held(), ...b.held()].sort(), [0, 1])
})

t.test('who hears nothing itself judges nobody', async (t) => {
  const { join, cluster, members } = stage(t, 2)
  const [a, b] = [join('a'), join('b')]
  await eventually('they share', () => String(sizes(a, b)) === '1,1')
  const leases = () => [cluster.json('history.lease.0'), cluster.json('history.lease.1')]
  const before = leases()
  const beats = () => (members.json('history.member.a') as { beat: number }).beat
  a.deafen()
  const from = beats()
  await eventually('it has looked for longer than a window', () => beats() > from + 40)
  t.same(leases(), before)
  t.ok(members.json('history.member.b'), 'and the other is still a member')
})

t.test('an exclusive store: whoever is in the list is dead', async (t) => {
  const { join, cluster } = stage(t, 1, PATIENT)
  const a = join('a')
  await eventually('it has it', () => a.held().length === 1)
  a.cut(true)
  const b = join('b', true)
  await eventually('taken at once', () => b.held().length === 1)
  t.match(cluster.json('history.lease.0'), { holder: 'b', epoch: 2 })
})

t.test('what operators want is told, what was before too', async (t) => {
  const { join, cluster } = stage(t, 1)
  await changeWanted(cluster, 'history', (wanted) => ({ ...wanted, paused: true }))
  const a = join('a')
  await eventually('it is told', () => a.seen.at(-1)?.paused === true)
  await changeWanted(cluster, 'history', ({ rebuild }) => ({ paused: false, rebuild: rebuild + 1 }))
  await eventually('it is told', () => a.seen.at(-1)?.rebuild === 1)
  t.same(a.seen.at(-1), { paused: false, rebuild: 1 })
})

t.test('a watch that fell silent is opened anew', async (t) => {
  const { join, cluster, members } = stage(t, 1)
  const a = join('a')
  await eventually('it has it', () => a.held().length === 1)
  members.deafen()
  cluster.deafen()
  await changeWanted(cluster, 'history', (wanted) => ({ ...wanted, paused: true }))
  await eventually('it is told in the end', () => a.seen.at(-1)?.paused === true)
})
