import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { errorByNumber } from '../../lib/errors.ts'
import type { Incarnation, RoomId, UserId } from '../../lib/ids.ts'
import { encodeFrame } from '../../lib/protocol/codec.ts'
import { readEvent } from '../../lib/protocol/hot.ts'
import { Reader } from '../../lib/protocol/reader.ts'
import { eventually } from '../../lib/testing/eventually.ts'
import { HostClient } from '../../lib/testing/host-client.ts'
import { Invariants } from '../../lib/testing/invariants.ts'
import { seeded } from '../../lib/testing/seeded.ts'
import { startBus } from '../../lib/testing/servers/bus.ts'
import { TestSender } from '../../lib/testing/test-sender.ts'

const FIXTURE = fileURLToPath(new URL('host.fixture.ts', import.meta.url))
const CHAOS = Number(process.env.PARLEY_CHAOS ?? 0)
const KILLS = CHAOS > 0 ? 15 : 4
const SEEDS = Array.from({ length: CHAOS > 0 ? CHAOS : 1 }, (_, i) => i + 1)
const users = ['uann', 'uben', 'ucat'] as unknown as readonly [UserId, UserId, UserId]
const rooms = [0, 1, 2, 3].map((i) => `gCrashRoom${i}`.padEnd(22, '_') as RoomId)

/** A host in a process of its own that dies with `kill -9` and comes back. */
class Process {
  readonly #args: readonly string[]
  #child: ChildProcess | undefined
  /** Undefined while it does not serve. */
  incarnation: Incarnation | undefined
  errors = ''

  constructor(url: string, data: string) {
    this.#args = [FIXTURE, url, data]
  }

  async start(): Promise<void> {
    // What a test runner adds for coverage only slows it.
    const { NODE_OPTIONS: _, NODE_V8_COVERAGE: __, ...env } = process.env
    const child = spawn(process.execPath, this.#args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    let line = ''
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      line += text
      if (line.endsWith('\n') && this.#child === child) {
        this.incarnation = line.trim() as Incarnation
      }
    })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text
    })
    await eventually('the host serves', () => this.incarnation !== undefined, { within: 30_000 })
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    this.incarnation = undefined
    if (child === undefined || child.exitCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
}

const crash = async (t: Test, seed: number) => {
  const random = seeded(seed)
  const bus = await startBus(t, { partitions: 8, streams: 1 })
  const data = await mkdtemp(join(tmpdir(), 'parley-crash-'))
  const host = new Process(bus.server.url, data)
  t.teardown(async () => {
    await host.kill()
    await rm(data, { recursive: true, force: true, maxRetries: 5 })
  })
  const client = new HostClient(await bus.connect())
  t.teardown(() => client.close())
  let checking = false
  const target = client.to(() => (checking ? undefined : host.incarnation))
  const ask = (user: UserId, frame: Uint8Array) =>
    eventually(
      'an answer',
      async () => {
        const incarnation = host.incarnation
        if (incarnation === undefined) return undefined
        const [asked] = client.ask(incarnation, user, frame)
        return eventually('an answer for good', () => asked!.answer, { within: 1000 })
      },
      { within: 20_000 },
    )

  await host.start()
  const invariants = new Invariants()
  for (const room of rooms) {
    const created = await ask(
      users[0],
      encodeFrame('create', {
        ...{ req: 1, room, lineage: 1, join: 0, n: 1, low: 1 },
        ...{ title: 'A group', openHistory: true, members: users.slice(1) },
      }),
    )
    t.match(created, { name: 'ack', seq: 1 })
    invariants.room(room).foreign(1)
  }

  let over = false
  const life = AbortSignal.timeout(100_000)
  const lanes = rooms.flatMap((room) =>
    users.map((user, i) => {
      const outbox = invariants.room(room).outbox(user)
      const sender = new TestSender({
        ...{ user, room, outbox, window: 6, lineage: 100 + i, join: i === 0 ? 0 : 1 },
        more: () => !over,
        target: () => target,
      })
      return { room, user, outbox, sender }
    }),
  )
  const sending = Promise.all(lanes.map(({ sender }) => sender.run(life)))
  const acked = () => invariants.acked
  let repeated = 0
  for (let kill = 0; kill < KILLS; kill++) {
    const before = acked()
    await eventually('texts are on their way', () => acked() > before + 20, { within: 20_000 })
    await pause(random() * 300)
    checking = true
    await host.kill()
    const last = lanes.map(({ sender }) => sender.newest)
    await host.start()
    for (const [i, { user }] of lanes.entries()) {
      const { frame, seq, id } = last[i]!
      const again = await ask(user, frame)
      // A later command may have said that the outcome of this one is settled.
      if (again.name === 'error' && errorByNumber(again.code) === 'settled') continue
      repeated++
      t.match(again, { name: 'ack', seq, id })
    }
    checking = false
  }
  over = true
  await sending
  t.same(
    lanes.flatMap(({ sender }) => sender.refusals),
    [],
    'nothing was refused for good',
  )

  for (const room of rooms) {
    const reader = invariants.room(room).reader('ucat')
    const info = await ask(
      users[2],
      encodeFrame('open', { req: 1, room, peer: null, lineage: null }),
    )
    const head = info.name === 'info' ? info.head : 0
    for (let from = 1; from <= head; ) {
      const page = await ask(
        users[2],
        encodeFrame('fetch', { req: 1, room, from, limit: 256, back: false }),
      )
      if (page.name !== 'page') throw new Error(`no page: ${JSON.stringify(page)}`)
      for (const bytes of page.events as unknown as Uint8Array[]) {
        const event = readEvent(new Reader(bytes))
        const [sender, n] = Buffer.from(event.body).subarray(2).toString().split(' ')
        const lane = lanes.find((lane) => lane.room === room && lane.user === sender)
        reader.saw(event.seq, event.id, event.seq === 1 ? undefined : lane?.outbox, Number(n))
        from = event.seq + 1
      }
    }
  }
  t.same(invariants.finish({ settled: true }), [], 'nothing lost, doubled or out of order')
  const sent = lanes.reduce((sum, { sender }) => sum + sender.sent, 0)
  const resends = lanes.reduce((sum, { sender }) => sum + sender.resends, 0)
  t.equal(acked(), sent)
  t.comment({ seed, kills: KILLS, sent, resends, repeated, errors: host.errors })
  t.ok(resends > 0 && repeated > 0 && sent > 100, 'faults have landed')
}

for (const seed of SEEDS) {
  t.test(
    `kill -9 of the host: nothing acked is lost, resends get the same acks (seed ${seed})`,
    (t) => crash(t, seed),
  )
}
