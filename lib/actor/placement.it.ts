import { connect } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import { provision } from '../../nats/provision.ts'
import { shape } from '../../nats/shape.ts'
import type { Bucket, BucketName, Message, Nats } from '../bus/bus.ts'
import { fromJson, type Members, type Owner, toJson } from '../bus/cluster.ts'
import { connectNats } from '../bus/nats.ts'
import { systemClock } from '../clock.ts'
import { type Incarnation, newIncarnation } from '../ids.ts'
import { createLog } from '../log.ts'
import { BEAT } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import { startNats } from '../testing/servers/nats.ts'
import { Membership } from './membership.ts'
import { type Claiming, Placement, type Timing } from './placement.ts'

const PARTITIONS = 12
const ALL = [...Array(PARTITIONS).keys()]
const FAST: Partial<Timing> = { beat: 100, suspicion: 600, hold: 400, balance: 300 }
/** Whatever comes about under these within a test did not wait for a window. */
const PATIENT: Partial<Timing> = { ...FAST, suspicion: 60_000 }
const within = (ms = 10_000) => AbortSignal.timeout(ms)

type Claim = Claiming & { readonly p: number; readonly by: string; readonly epoch: number }
type Given = {
  timing?: Partial<Timing>
  exclusive?: boolean
  rebalance?: boolean
  incarnation?: Incarnation
  /** Starts that never end. */
  stuck?: boolean
}

class TestHost {
  readonly incarnation: Incarnation
  readonly placement: Placement
  readonly claims: Claim[] = []
  readonly lines: string[] = []
  readonly holds = new Map<number, number>()
  superseded = false
  /** As if the process were stopped: says nothing and learns nothing. */
  #paused = false
  #resumed: (() => void)[] = []
  /** Its own words do not reach it, nor do those of others. */
  deaf = false
  readonly bus: Nats
  /** Its connection came back. */
  gap: () => void = () => undefined
  readonly #log: FakeLog

  constructor(bus: Nats, log: FakeLog, name: string, given: Given) {
    this.bus = bus
    this.#log = log
    this.incarnation = given.incarnation ?? newIncarnation()
    const nats: Nats = Object.create(bus, {
      onGap: {
        value: (callback: () => void) => {
          this.gap = callback
          return bus.onGap(callback)
        },
      },
      bucket: { value: async (name: BucketName) => this.#slow(await bus.bucket(name)) },
      publish: {
        value: (subject: string, data: Uint8Array) => {
          if (!this.#paused) bus.publish(subject, data)
        },
      },
      subscribe: {
        value: (subject: string, onMessage: (message: Message) => void) =>
          bus.subscribe(subject, (message) => {
            if (!this.deaf && !this.#paused) onMessage(message)
          }),
      },
    })
    const destination = { write: (line: string) => this.lines.push(line) }
    this.placement = new Placement({
      nats,
      clock: systemClock,
      identity: { incarnation: this.incarnation, host: name },
      partitions: PARTITIONS,
      exclusive: given.exclusive ?? false,
      log: createLog({ level: 'debug', format: 'json', destination }),
      timing: given.timing ?? FAST,
      on: {
        claim: (p, how) => {
          const epoch = log.fence(p, this, how.view)
          this.claims.push({ ...how, p, by: name, epoch })
          if (!given.stuck) void this.#serve(p, epoch)
        },
        ...(given.rebalance
          ? { resign: (p: number, successor: Incarnation) => void this.give(p, successor) }
          : {}),
        superseded: () => {
          this.superseded = true
        },
      },
    })
  }

  set paused(paused: boolean) {
    this.#paused = paused
    if (!paused) for (const go of this.#resumed.splice(0)) go()
  }

  /** A bucket that gives no answer while the host is paused. */
  #slow(bucket: Bucket): Bucket {
    const awake = async () => {
      if (this.#paused) await new Promise<void>((resolve) => this.#resumed.push(resolve))
    }
    return {
      ...bucket,
      get: (key) => awake().then(() => bucket.get(key)),
      cas: (key, value, expected) => awake().then(() => bucket.cas(key, value, expected)),
      watch: (onEntry, onReady) =>
        bucket.watch((entry) => {
          if (this.#paused) this.#resumed.push(() => onEntry(entry))
          else onEntry(entry)
        }, onReady),
    }
  }

  async #serve(p: number, epoch: number): Promise<void> {
    // The end of the test ends it.
    const ours = await this.placement.serving(p, epoch).catch(() => false)
    if (ours) this.holds.set(p, epoch)
  }

  lost(p: number, view: number): void {
    this.holds.delete(p)
    this.placement.lost(p, view)
  }

  async give(p: number, successor = this.placement.successorOf(p)): Promise<void> {
    const epoch = this.holds.get(p)!
    this.holds.delete(p)
    this.#log.handedOver(p)
    await this.placement.handed(p, epoch, successor)
  }
}

/** What the log decides: the last to write owns, and the one before finds out. */
class FakeLog {
  #seq = 0
  readonly #last = new Map<number, TestHost>()

  fence(p: number, host: TestHost, view: number): number {
    const former = this.#last.get(p)
    this.#last.set(p, host)
    if (former !== undefined && former !== host) former.lost(p, view)
    return ++this.#seq
  }

  handedOver(p: number): void {
    this.#last.delete(p)
  }
}

const stage = async (t: Test) => {
  const server = await startNats(t)
  const nc = await connect({ servers: server.url })
  await provision(nc, shape({ partitions: PARTITIONS }))
  await nc.close()
  const log = new FakeLog()
  const bus = async (): Promise<Nats> => {
    const its = await connectNats({ servers: [server.url], name: 'test' })
    t.teardown(() => its.close())
    return its
  }
  const own = await bus()
  const owners = await own.bucket('owners')
  const cluster = await own.bucket('cluster')
  return {
    bus,
    server,
    log,
    owners,
    cluster,
    members: async () => fromJson<Members>((await cluster.get('members'))!.value!),
    put: (p: number, owner: Owner) => owners.put(String(p), toJson(owner)),
    host: async (name: string, given: Given = {}): Promise<TestHost> => {
      const host = new TestHost(await bus(), log, name, given)
      t.teardown(() => host.placement.leave(AbortSignal.abort()))
      await host.placement.start(within())
      return host
    },
  }
}

const holders = (p: number, hosts: readonly TestHost[]) => hosts.filter((host) => host.holds.has(p))

const allServed = (hosts: readonly TestHost[]): boolean =>
  ALL.every((p) => {
    const [holder, ...more] = holders(p, hosts)
    if (holder === undefined || more.length > 0) return false
    // Everybody agrees on who that is.
    return hosts.every(({ placement }) => {
      const owner = placement.ownerOf(p)
      return owner?.state === 'serving' && owner.incarnation === holder.incarnation
    })
  })

const served = (...hosts: TestHost[]) =>
  eventually('each partition is served by one host, and all know', () => allServed(hosts), {
    within: 15_000,
  })

t.test('O2 one host takes all partitions after one window, and starts quietly', async (t) => {
  const { host, members } = await stage(t)
  const one = await host('one')
  await served(one)
  t.same(
    one.claims.map(({ p }) => p).sort((a, b) => a - b),
    ALL,
    'each was claimed once',
  )
  t.ok(one.claims.every(({ quiet }) => quiet))
  t.ok(one.claims.every(({ view }) => view === 1))
  t.match(await members(), { view: 1, hosts: [{ host: 'one', draining: false }] })
})

t.test('O2 nothing is claimed before a window has passed', async (t) => {
  const { host } = await stage(t)
  const patient = await host('patient', { timing: PATIENT })
  const quick = await host('quick')
  await eventually('the quick one has its share', () => quick.holds.size > 0)
  t.equal(patient.claims.length, 0)
})

t.test('O2 L10 an exclusive host claims all at once and need not be quiet', async (t) => {
  const { host, put, members, cluster } = await stage(t)
  const former = { incarnation: newIncarnation(), host: 'elsewhere' }
  await put(3, { epoch: 7, ...former, state: 'serving' })
  await cluster.put('members', toJson({ view: 8, hosts: [{ ...former, draining: false }] }))
  const one = await host('one', { exclusive: true, timing: PATIENT })
  await eventually('everything is claimed', () => one.claims.length === PARTITIONS)
  t.ok(one.claims.every(({ quiet }) => !quiet))
  t.ok(one.placement.provenDead(3, 99))
  t.match(await members(), { view: 9, hosts: [{ incarnation: one.incarnation }] })
  t.equal((await members()).hosts.length, 1)
})

t.test('O2 three hosts share the partitions, each taken once', async (t) => {
  const { host } = await stage(t)
  const hosts = await Promise.all(['one', 'two', 'three'].map((name) => host(name)))
  await served(...hosts)
  t.equal(hosts.flatMap(({ claims }) => claims).length, PARTITIONS)
  t.ok(hosts.every(({ holds }) => holds.size > 0))
})

t.test('O2 owners are sticky: a newcomer takes nothing that is served', async (t) => {
  const { host } = await stage(t)
  const one = await host('one')
  await served(one)
  const two = await host('two')
  await eventually('the newcomer judges', () => two.placement.members.length === 2)
  await one.give(0, two.incarnation)
  await served(one, two)
  t.same([...two.holds.keys()], [0], 'only what was given to it')
})

t.test('O2 a newcomer leaves alone what another one says it is starting', async (t) => {
  const { host } = await stage(t)
  const one = await host('one', { stuck: true })
  await eventually('it has taken all', () => one.claims.length === PARTITIONS)
  const two = await host('two')
  let heard = 0
  one.bus.subscribe(BEAT, () => heard++)
  await eventually('it has said so', () => heard > 4)
  t.equal(two.claims.length, 0)
  one.paused = true
  await eventually('taken when its starter is silent', () => two.claims.length === PARTITIONS)
  const removed = two.lines.findIndex((line) => line.includes('placement.suspected'))
  const claimed = two.lines.findIndex((line) => line.includes('placement.claimed'))
  t.ok(removed >= 0 && claimed > removed, 'not before')
})

t.test('O1 O2 the partitions of a silent host move after one window', async (t) => {
  const { host, members } = await stage(t)
  const [one, two, three] = await Promise.all(['one', 'two', 'three'].map((name) => host(name)))
  await served(one!, two!, three!)
  const before = new Map([two!, three!].map((its) => [its, [...its.holds.keys()]]))
  const { view } = two!.placement
  three!.paused = true
  await eventually('they have moved', () => allServed([one!, two!]), { within: 15_000 })
  t.ok(
    [...before.get(two!)!].every((p) => two!.holds.has(p)),
    'who lives keeps what it has',
  )
  const moved = [...one!.claims, ...two!.claims].filter(({ p }) => before.get(three!)!.includes(p))
  t.equal(moved.length, before.get(three!)!.length)
  t.ok(moved.every((claim) => claim.quiet && claim.view > view))
  t.same(
    (await members()).hosts.map((its) => its.host),
    ['one', 'two'],
  )
})

t.test('O1 a host that does not hear itself suspects nobody', async (t) => {
  const { host } = await stage(t)
  const [one, two] = await Promise.all(['one', 'two'].map((name) => host(name)))
  await served(one!, two!)
  one!.deaf = true
  two!.paused = true
  const three = await host('three')
  await eventually('somebody else sees it', () => three.claims.length > 0, { within: 15_000 })
  t.notOk(one!.lines.some((line) => line.includes('placement.suspected')))
  t.ok(three.lines.some((line) => line.includes('placement.suspected')))
})

t.test('O1 a host whose connection comes and goes suspects nobody', async (t) => {
  const { host } = await stage(t)
  const [one, two] = await Promise.all(['one', 'two'].map((name) => host(name)))
  await served(one!, two!)
  const shaky = setInterval(() => one!.gap(), FAST.suspicion! / 4)
  t.teardown(() => clearInterval(shaky))
  two!.paused = true
  const three = await host('three')
  const suspected = (its: TestHost) => its.lines.some((line) => line.includes('suspected'))
  await eventually('somebody else sees it', () => suspected(three), { within: 15_000 })
  t.notOk(suspected(one!))
})

t.test('O2 who was replaced does not write itself back', async (t) => {
  const { bus, members } = await stage(t)
  const join = async () => {
    const incarnation = newIncarnation()
    const life = new AbortController()
    t.teardown(() => life.abort())
    const membership = new Membership({
      nats: await bus(),
      clock: systemClock,
      identity: { incarnation, host: 'one' },
      exclusive: false,
      suspicionMs: 60_000,
      log: createLog({ level: 'error', format: 'json', destination: { write: () => undefined } }),
      pace: { random: Math.random, failed: () => undefined },
      life: life.signal,
      starting: () => [],
      changed: () => undefined,
    })
    await membership.join()
    return { membership, incarnation }
  }
  const old = await join()
  const fresh = await join()
  await old.membership.drain(within())
  t.ok(old.membership.superseded)
  t.match(await members(), { view: 2, hosts: [{ incarnation: fresh.incarnation }] })
  await old.membership.leave(within())
  t.equal((await members()).hosts.length, 1)
})

t.test('O2 a host that was replaced while it was paused does not come back', async (t) => {
  const { host, members } = await stage(t)
  const old = await host('one')
  await served(old)
  old.paused = true
  const draining = old.placement.drain(within()).catch(() => undefined)
  const fresh = await host('one', { timing: PATIENT })
  old.paused = false
  await draining
  await eventually('the old one knows', () => old.superseded)
  t.match((await members()).hosts, [{ incarnation: fresh.incarnation, draining: false }])
  t.equal((await members()).hosts.length, 1)
})

t.test('O2 a host that was taken for dead joins again', async (t) => {
  const { host, members } = await stage(t)
  const [one, two] = await Promise.all(['one', 'two'].map((name) => host(name)))
  await served(one!, two!)
  two!.paused = true
  await eventually('one has all', () => one!.holds.size === PARTITIONS, { within: 15_000 })
  two!.paused = false
  await eventually(
    'both are in',
    async () => (await members()).hosts.map((its) => its.host).join() === 'one,two',
  )
  await one!.give(5, two!.incarnation)
  await eventually('it takes what it is given', () => two!.holds.has(5))
})

t.test('O2 a newer incarnation of the same host claims at once', async (t) => {
  const { host, put } = await stage(t)
  const former = newIncarnation()
  const dead = newIncarnation()
  await put(0, { epoch: 11, incarnation: former, host: 'one', state: 'serving' })
  await put(1, { epoch: 12, incarnation: dead, host: 'gone', state: 'serving' })
  const one = await host('one', { timing: PATIENT })
  await eventually('its own is claimed', () => one.claims.length > 0)
  t.match(one.claims, [{ p: 0, quiet: false }])
  t.ok(one.placement.provenDead(0, 11))
  t.notOk(one.placement.provenDead(0, 13), 'the log has had another owner since')
  t.notOk(one.placement.provenDead(1, 12))
  t.equal(one.claims.length, 1, 'what was of others waits for the window')
})

t.test('O2 who was replaced stops taking part', async (t) => {
  const { host, members } = await stage(t)
  const old = await host('one')
  await served(old)
  const fresh = await host('one', { timing: PATIENT })
  await eventually('the old one knows', () => old.superseded)
  t.match((await members()).hosts, [{ incarnation: fresh.incarnation }])
  t.equal((await members()).hosts.length, 1)
})

t.test('O2 drain: what is handed over is taken at once, the rest of the house knows', async (t) => {
  const { host, members } = await stage(t)
  const one = await host('one')
  await served(one)
  const [two, three] = await Promise.all(['two', 'three'].map((name) => host(name)))
  await eventually('all are in', () => one.placement.members.length === 3)
  await one.placement.drain(within())
  t.ok((await members()).hosts.find((its) => its.host === 'one')?.draining)
  t.not(one.placement.successorOf(0), one.incarnation)
  await Promise.all(ALL.map((p) => one.give(p)))
  await eventually('the others serve', () => allServed([two!, three!]))
  t.ok(two!.holds.size > 0 && three!.holds.size > 0)
  await one.placement.leave(within())
  t.same(
    (await members()).hosts.map((its) => its.host),
    ['three', 'two'],
  )
  t.equal(one.holds.size, 0)
})

t.test('O2 a draining host claims nothing, and is nobody’s successor', async (t) => {
  const { host } = await stage(t)
  const one = await host('one')
  await one.placement.drain(within())
  const two = await host('two')
  await eventually('the other one has all', () => two.holds.size === PARTITIONS)
  t.equal(one.claims.length, 0)
  t.equal(two.placement.successorOf(0), undefined)
  await two.give(0)
  t.equal(two.placement.ownerOf(0)?.successor, undefined)
  await eventually('handed to nobody, it is free', () => two.holds.has(0))
  await two.give(1, one.incarnation)
  await eventually('handed to one that drains, too', () => two.holds.has(1))
  t.equal(one.claims.length, 0)
})

t.test('O2 handed to a host that has died, it is taken by another', async (t) => {
  const { host } = await stage(t)
  const [one, two] = await Promise.all(['one', 'two'].map((name) => host(name)))
  await served(one!, two!)
  const p = [...one!.holds.keys()][0]!
  two!.paused = true
  await one!.give(p, newIncarnation())
  await eventually('served again', () => one!.holds.has(p), { within: 15_000 })
})

t.test('O2 owners rise by epoch: an older owner can not write over a newer one', async (t) => {
  const { host, owners } = await stage(t)
  const one = await host('one', { timing: PATIENT })
  const two = await host('two', { timing: PATIENT })
  t.equal(await one.placement.serving(0, 10), true)
  t.equal(await two.placement.serving(0, 20), true)
  t.equal(await one.placement.serving(0, 15), false)
  t.equal(await one.placement.handed(0, 10, two.incarnation), false)
  t.match(fromJson<Owner>((await owners.get('0'))!.value!), {
    epoch: 20,
    incarnation: two.incarnation,
    state: 'serving',
  })
  t.equal(await two.placement.handed(0, 20, one.incarnation), true)
  t.equal(await two.placement.serving(0, 20), false, 'what is handed over stays so')
})

t.test('O5 a lost partition is not retaken under the same view', async (t) => {
  const { host } = await stage(t)
  const one = await host('one')
  await served(one)
  const { view } = one.placement
  one.lost(4, view)
  one.lost(5, view - 1)
  await eventually('a newer view than the fencing one', () => one.holds.has(5))
  t.notOk(one.holds.has(4))
  await host('two', { timing: PATIENT })
  await eventually('the view has risen', () => one.holds.has(4))
  t.ok(one.claims.at(-1)!.view > view)
})

t.test('O5 a log with newer views than KV (a restored backup) lifts the view', async (t) => {
  const { host, members } = await stage(t)
  const one = await host('one')
  await served(one)
  one.lost(4, 1000)
  await eventually('it is retaken', () => one.holds.has(4))
  t.ok((await members()).view > 1000)
})

t.test('O5 what is handed back is taken at once', async (t) => {
  const { host } = await stage(t)
  const timing = { ...FAST, hold: 60_000 }
  const [one, two] = await Promise.all(['one', 'two'].map((name) => host(name, { timing })))
  await served(one!, two!)
  const p = [...two!.holds.keys()][0]!
  one!.placement.lost(p, 1)
  await two!.give(p, one!.incarnation)
  await eventually('taken', () => one!.holds.has(p))
})

t.test('what could not be started is tried again', async (t) => {
  const { host } = await stage(t)
  const one = await host('one')
  await served(one)
  one.holds.delete(2)
  one.placement.failed(2)
  await eventually('again', () => one.holds.has(2))
  t.equal(one.claims.filter(({ p }) => p === 2).length, 2)
})

t.test('O2 rebalancing moves one at a time until nobody has too many', async (t) => {
  const { host } = await stage(t)
  const one = await host('one', { rebalance: true })
  await served(one)
  const two = await host('two', { rebalance: true })
  await eventually(
    'shared',
    () => allServed([one, two]) && one.holds.size <= PARTITIONS / 2 + 1 && two.holds.size > 0,
    { within: 20_000 },
  )
  t.equal(one.holds.size, PARTITIONS / 2 + 1, 'no more than needed')
})

t.test('a restart of nats-server changes nothing, and placement goes on', async (t) => {
  const { host, server, log } = await stage(t)
  const [one, two] = await Promise.all(['one', 'two'].map((name) => host(name)))
  await served(one!, two!)
  const claims = one!.claims.length + two!.claims.length
  await server.kill()
  one!.placement.lost(0, 0)
  two!.placement.lost(0, 0)
  const mine = [...one!.holds.keys()].find((p) => p !== 0)!
  const waiting = one!.placement.serving(mine, log.fence(mine, one!, 9))
  await server.start()
  t.equal(await waiting, true, 'a write waits for the server')
  await eventually('free again: taken by its owner', () =>
    [one!, two!].some((its) => its.claims.filter(({ p }) => p === 0).length === 2),
  )
  t.equal(one!.claims.length + two!.claims.length, claims + 1, 'nobody was suspected meanwhile')
  two!.paused = true
  await eventually('watches work', () => allServed([one!]), { within: 15_000 })
})

t.test('start ends with its signal, when there is no server', async (t) => {
  const { server, host } = await stage(t)
  const one = await host('one')
  await server.kill()
  const late = new Placement({
    nats: one.bus,
    clock: systemClock,
    identity: { incarnation: newIncarnation(), host: 'late' },
    partitions: PARTITIONS,
    exclusive: false,
    log: createLog({ level: 'error', format: 'json', destination: { write: () => undefined } }),
    on: { claim: () => undefined },
  })
  await t.rejects(late.start(AbortSignal.timeout(50)), { name: 'TimeoutError' })
  await t.rejects(late.start(AbortSignal.abort()))
  await one.placement.leave(AbortSignal.timeout(50))
  t.ok(one.lines.some((line) => line.includes('placement.left_unannounced')))
})

t.test('KV entries that can not be read, and beats that are none, are passed over', async (t) => {
  const { host, owners } = await stage(t)
  await owners.put('1', new TextEncoder().encode('{'))
  await owners.put('999', toJson({}))
  const one = await host('one')
  one.bus.publish(BEAT, new TextEncoder().encode('['))
  one.bus.publish(BEAT, toJson({ incarnation: 'a.b' }))
  await served(one)
  t.ok(one.lines.some((line) => line.includes('placement.unreadable')))
})

t.test('changes of owners are told', async (t) => {
  const { host } = await stage(t)
  const one = await host('one', { timing: PATIENT })
  const told: [number, number | undefined][] = []
  const stop = one.placement.onOwner((p, owner) => told.push([p, owner?.epoch]))
  await one.placement.serving(3, 5)
  await eventually('told', () => told.length > 0)
  stop()
  await one.placement.serving(4, 6)
  t.same(told, [[3, 5]])
})
