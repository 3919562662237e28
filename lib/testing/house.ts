/** Hosts and gateways in this process, on a nats-server and an embedded store of the test's own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inboxConsumer, queueConsumer } from '../../nats/consumers.ts'
import type { Shape } from '../../nats/shape.ts'
import type { RoomBehavior, UserBehavior } from '../actor/behavior.ts'
import { Host } from '../actor/host.ts'
import type { HostOptions } from '../actor/host-options.ts'
import { accountPublisher } from '../bus/accounts.ts'
import type { Nats } from '../bus/bus.ts'
import { systemClock } from '../clock.ts'
import { GATEWAY_DEFAULTS, type GatewayConfig } from '../gateway/config.ts'
import { createGateway, type Gateway } from '../gateway/gateway.ts'
import { type DeviceId, dmId, newIncarnation, type RoomId, type UserId } from '../ids.ts'
import { createLog } from '../log.ts'
import type { AccountRecord } from '../protocol/account.ts'
import type { AnyFrame } from '../protocol/frames.ts'
import { levelHistory } from '../store/level/level-history.ts'
import { levelState } from '../store/level/level-state.ts'
import { openLevel } from '../store/level/open.ts'
import type { StateStore } from '../store/state/state.ts'
import { eventually } from './eventually.ts'
import { TestClient } from './gateway/test-client.ts'
import { testVerifier } from './gateway/world.ts'
import { accountOf } from './pointers.ts'
import { startBus } from './servers/bus.ts'

interface Test {
  teardown(end: () => Promise<void>): void
}

export type HouseHost<Room, User> = Host<Room, User> & {
  /** Ends it as `kill -9` would: nothing more goes out, nothing more is stored. */
  kill(): Promise<void>
}

type Given = {
  readonly partitions?: number
  readonly streams?: number
  readonly limits?: Partial<Shape['limits']>
}

export const startHouse = async <Room, User>(
  t: Test,
  behaviors: { readonly room: RoomBehavior<Room>; readonly user: UserBehavior<User> },
  given: Given = {},
) => {
  const { partitions = 4, streams = 1, limits = {} } = given
  const bus = await startBus(t, { partitions, streams, limits })
  const directory = await mkdtemp(join(tmpdir(), 'parley-house-'))
  const database = await openLevel(directory)
  const hold = database.hold()
  t.teardown(async () => {
    await hold()
    await rm(directory, { recursive: true, force: true })
  })
  const lines: string[] = []
  const log = createLog({
    level: 'debug',
    format: 'json',
    destination: { write: (line) => lines.push(line) },
  })
  const outside = await bus.connect()
  const publisher = accountPublisher(outside, partitions)
  t.teardown(async () => publisher.close())

  const made = (nats: Nats, options: Partial<HostOptions<Room, User>>) => {
    const state = levelState(database)
    const history = levelHistory(database)
    const life = { dead: false }
    const host = new Host<Room, User>({
      nats,
      clock: systemClock,
      log,
      identity: { incarnation: newIncarnation(), host: 'house' },
      partitions,
      streams,
      exclusive: true,
      ...behaviors,
      history,
      state: mortal(state, life),
      limits: { textBytes: 8192, roomIdleMs: 60_000 },
      inboxConsumer: (p, epoch, from) => inboxConsumer(bus.shape, p, epoch, from),
      queueConsumer: (user, device) => queueConsumer(bus.shape, user, device),
      queueLimits: { entries: 1000, bytes: 2 ** 20, ageMs: 2 ** 31 },
      ...options,
    })
    const close = async () => {
      await state.close()
      await history.close()
    }
    t.teardown(async () => {
      if (life.dead) return
      life.dead = true
      await host.drain(systemClock.monotonic() + 200).catch(() => undefined)
      await close()
    })
    return Object.assign(host, {
      kill: async () => {
        life.dead = true
        await nats.close()
        // Its timers; what they do reaches nobody any more.
        await host.drain(systemClock.monotonic()).catch(() => undefined)
        await close()
      },
    }) as HouseHost<Room, User>
  }

  /** One that was not started yet. */
  const idle = async (options: Partial<HostOptions<Room, User>> = {}) =>
    made(await bus.connect(), options)

  const host = async (options: Partial<HostOptions<Room, User>> = {}) => {
    const host = await idle(options)
    await host.start(AbortSignal.timeout(20_000))
    await eventually('the host serves all', () => host.serving.length === partitions, {
      within: 20_000,
    })
    return host
  }

  const gateway = async (config: Partial<GatewayConfig> = {}): Promise<Gateway> => {
    const gateway = createGateway({
      nats: await bus.connect(),
      verifier: testVerifier,
      resume: ({ user, device }) => `${user}/${device}`,
      config: { ...GATEWAY_DEFAULTS, port: 0, partitions, resendMs: 500, ...config },
      clock: systemClock,
      log,
      queueConsumer: (user, device) => queueConsumer(bus.shape, user, device),
    })
    await gateway.start(AbortSignal.timeout(20_000))
    t.teardown(() => gateway.drain(systemClock.monotonic() + 100))
    return gateway
  }

  let version = 0
  /** What the API would say of these users. */
  const account = async (user: string, more: Partial<AccountRecord> = {}) =>
    publisher.publish(accountOf(user as UserId, ++version, { tokenGeneration: 3, ...more }))

  return { ...bus, outside, lines, idle, host, gateway, account, database }
}

const mortal = (state: StateStore, life: { dead: boolean }): StateStore => {
  const alive = async <T>(work: () => Promise<T>): Promise<T> => {
    if (life.dead) throw new Error('this host is dead')
    return work()
  }
  return {
    ...state,
    saveRooms: (rows) => alive(() => state.saveRooms(rows)),
    saveUsers: (rows) => alive(() => state.saveUsers(rows)),
    dropUsers: (rows) => alive(() => state.dropUsers(rows)),
    savePartition: (...args) => alive(() => state.savePartition(...args)),
  }
}

/** A device of a user: logs in, sends numbered texts, keeps what it is told. */
export class HouseDevice {
  readonly user: UserId
  readonly device: DeviceId
  client!: TestClient
  #lineage: number | null = null
  readonly #numbers = new Map<RoomId, number>()

  constructor(user: string, device: string) {
    this.user = user as UserId
    this.device = device as DeviceId
  }

  async login(gateway: Gateway): Promise<Extract<AnyFrame, { name: 'welcome' }>> {
    this.client = await TestClient.connect(gateway.url)
    const { client, user, device } = this
    const req = client.nextReq
    const token = `${user}/${device}`
    client.send('hello', { req, version: 1, token, cursor: null, lineage: this.#lineage as never })
    const welcome = await client.frame('welcome', req)
    this.#lineage = welcome.lineage
    return welcome
  }

  async queue(on: boolean): Promise<Extract<AnyFrame, { name: 'ok' | 'error' }>> {
    const req = this.client.nextReq
    this.client.send('queue', { req, on })
    return this.#answer(req)
  }

  async queueAck(n: number): Promise<Extract<AnyFrame, { name: 'ok' | 'error' }>> {
    const req = this.client.nextReq
    this.client.send('queueAck', { req, n })
    return this.#answer(req)
  }

  #answer(req: number): Promise<Extract<AnyFrame, { name: 'ok' | 'error' }>> {
    return eventually(`an answer to ${req}`, () =>
      this.client.frames.find(
        (frame): frame is Extract<AnyFrame, { name: 'ok' | 'error' }> =>
          (frame.name === 'ok' || frame.name === 'error') && frame.req === req,
      ),
    )
  }

  /** Sends a text in the dm with `peer`; resolves with its sequence when it is acked. */
  async text(peer: string, text: string): Promise<number> {
    const room = dmId(this.user, peer as UserId)
    const n = (this.#numbers.get(room) ?? 0) + 1
    this.#numbers.set(room, n)
    const req = this.client.nextReq
    this.client.send('send', {
      req,
      room,
      lineage: this.#lineage!,
      join: 0,
      n,
      low: 1,
      text,
      peer: peer as UserId,
    })
    return (await this.client.frame('ack', req)).seq
  }

  get queued(): Extract<AnyFrame, { name: 'queued' }>[] {
    return this.client.of('queued')
  }
}
