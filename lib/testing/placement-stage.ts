/** Hosts that place partitions among themselves over a real nats-server, with a log that only says who owns. */
import { connect } from '@nats-io/transport-node'
import type { Test } from 'tap'
import { provision } from '../../nats/provision.ts'
import { shape } from '../../nats/shape.ts'
import { type Claiming, Placement, type Timing } from '../actor/placement.ts'
import type { Bucket, BucketName, Message, Nats } from '../bus/bus.ts'
import { fromJson, type Members, type Owner, toJson } from '../bus/cluster.ts'
import { connectNats } from '../bus/nats.ts'
import { systemClock } from '../clock.ts'
import { type Incarnation, newIncarnation } from '../ids.ts'
import { createLog } from '../log.ts'
import { eventually } from './eventually.ts'
import { startNats } from './servers/nats.ts'

export const PARTITIONS = 12
export const ALL = [...Array(PARTITIONS).keys()]
export const FAST: Partial<Timing> = { beat: 100, suspicion: 600, hold: 400, balance: 300 }

/** Whatever comes about under these within a test did not wait for a window. */
export const PATIENT: Partial<Timing> = { ...FAST, suspicion: 60_000 }

export const within = (ms = 10_000) => AbortSignal.timeout(ms)

type Claim = Claiming & { readonly p: number; readonly by: string; readonly epoch: number }

type Given = {
  timing?: Partial<Timing>
  exclusive?: boolean
  rebalance?: boolean
  incarnation?: Incarnation
  /** Starts that never end. */
  stuck?: boolean
}

export class PlacedHost {
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
  readonly #last = new Map<number, PlacedHost>()

  fence(p: number, host: PlacedHost, view: number): number {
    const former = this.#last.get(p)
    this.#last.set(p, host)
    if (former !== undefined && former !== host) former.lost(p, view)
    return ++this.#seq
  }

  handedOver(p: number): void {
    this.#last.delete(p)
  }
}

export const placementStage = async (t: Test) => {
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
    host: async (name: string, given: Given = {}): Promise<PlacedHost> => {
      const host = new PlacedHost(await bus(), log, name, given)
      t.teardown(() => host.placement.leave(AbortSignal.abort()))
      await host.placement.start(within())
      return host
    },
  }
}

export const holders = (p: number, hosts: readonly PlacedHost[]) =>
  hosts.filter((host) => host.holds.has(p))

export const allServed = (hosts: readonly PlacedHost[]): boolean =>
  ALL.every((p) => {
    const [holder, ...more] = holders(p, hosts)
    if (holder === undefined || more.length > 0) return false
    // Everybody agrees on who that is.
    return hosts.every(({ placement }) => {
      const owner = placement.ownerOf(p)
      return owner?.state === 'serving' && owner.incarnation === holder.incarnation
    })
  })

export const served = (...hosts: PlacedHost[]) =>
  eventually('each partition is served by one host, and all know', () => allServed(hosts), {
    within: 15_000,
  })
