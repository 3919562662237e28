import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import type { Room } from '../../actors/room/state.ts'
import type { RoomId, UserId } from '../ids.ts'
import { partitionOf } from '../ids.ts'
import { encodeFrame, readFrame, readValue } from '../protocol/codec.ts'
import { readLive } from '../protocol/envelopes.ts'
import type { Wire } from '../protocol/fields.ts'
import type { Pointer } from '../protocol/frames.ts'
import { readInbox } from '../protocol/inbox.ts'
import { POINTER } from '../protocol/pointer.ts'
import { Reader } from '../protocol/reader.ts'
import { inboxSubject, liveSubject } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import { chance, faultyWire } from '../testing/faulty-wire.ts'
import { Invariants, type Outbox } from '../testing/invariants.ts'
import { sameBytes } from '../testing/log-owner.ts'
import { seeded } from '../testing/seeded.ts'
import { startBus, startBusCluster } from '../testing/servers/bus.ts'
import { tempState } from '../testing/temp-state.ts'
import { fastClock } from '../testing/test-clock.ts'
import { TestHost } from '../testing/test-host.ts'
import { TestSender } from '../testing/test-sender.ts'

const PARTITIONS = 4
const HOSTS = 3
const CHAOS = Number(process.env.PARLEY_CHAOS ?? 0)
const SEEDS = Array.from({ length: CHAOS > 0 ? CHAOS : 2 }, (_, i) => i + 1)
const TAKEOVERS = CHAOS > 0 ? 60 : 9
const users = ['uann', 'uben', 'ucat', 'udan'] as unknown as [UserId, UserId, UserId, UserId]
const [ANN, ...OTHERS] = users
const READER = 'ucat' as UserId

type Host = TestHost<Room>

const room = 'gTakeoversTakeoversT00' as RoomId
const p = partitionOf(room, PARTITIONS)
const OPEN = encodeFrame('open', { req: 1, room, peer: null, lineage: null })

/** Hosts on connections of their own, over one server and one store; a second of the log's rules is 100 ms here. */
const arena = async (t: Test, replicas: 1 | 3 = 1) => {
  const shape = { partitions: PARTITIONS, streams: 1 }
  const bus = replicas === 1 ? await startBus(t, shape) : await startBusCluster(t, shape)
  const servers = 'servers' in bus ? bus.servers : [bus.server]
  const state = await tempState(t)
  const clock = fastClock(10)
  const behavior = createRoomBehavior()
  const wires = await Promise.all(
    Array.from({ length: HOSTS }, async (_, i) =>
      faultyWire(await bus.connect(servers[i % servers.length]!.url)),
    ),
  )
  const hosts = await Promise.all(
    wires.map((nats, worker) =>
      TestHost.open({ nats, clock, behavior, state, partitions: PARTITIONS, worker }),
    ),
  )
  t.teardown(() => {
    for (const host of hosts) host.close()
  })
  const outside = await bus.connect()

  /** What a user is told by the next answer for good; undefined when it moved, or nobody says. */
  const ask = (user: UserId, frame: Uint8Array, host: Host) =>
    new Promise<ReturnType<typeof readFrame> | undefined>((resolve) => {
      host.put(user, frame, 0, {
        final: (_token, _attempt, bytes) => resolve(readFrame(new Reader(bytes.slice()))),
        later: () => resolve(undefined),
        moved: () => resolve(undefined),
      })
      setTimeout(resolve, 1000, undefined)
    })

  /** The first host takes the partition, and Ann makes a group of all. */
  const create = async () => {
    await hosts[0]!.claim(p, 1)
    const frame = encodeFrame('create', {
      ...{ req: 1, room, lineage: 1, join: 0, n: 1, low: 1 },
      ...{ title: 'A group', openHistory: true, members: OTHERS },
    })
    const created = await eventually('the group is made', () => ask(ANN, frame, hosts[0]!))
    t.match(created, { name: 'ack', seq: 1 })
  }

  /** Head of the room as the newest pointer of each user in the inbox tells. */
  const pointed = async () => {
    const newest = new Map<UserId, Pointer>()
    const subjects = Array.from({ length: PARTITIONS }, (_, p) => inboxSubject(p))
    await outside.streams.read('INBOX_0', subjects, 1, ({ data }) =>
      readInbox(data, (entry) => {
        if (entry.kind !== 'pointer') return
        const known = newest.get(entry.user)
        if (known !== undefined && known.version >= entry.version) return
        newest.set(
          entry.user,
          readValue(new Reader(entry.pointer), POINTER as unknown as Wire) as Pointer,
        )
      }),
    )
    return users.map((user) => newest.get(user)?.head)
  }

  /** Frames for a user, as they come. */
  const onLive = (user: UserId, sink: (frame: Uint8Array) => void) =>
    outside.subscribe(liveSubject(user), ({ data }) =>
      readLive(data, (_gateway, _handle, frame) => sink(frame.slice())),
    )
  return { servers, wires, hosts, ask, create, pointed, onLive }
}

const KINDS = ['silent', 'stalled', 'loud'] as const

/** One host takes the partition from the other, again and again, while texts and reads go on. */
const fight = async (t: Test, seed: number, replicas: 1 | 3 = 1) => {
  const random = seeded(seed)
  const { servers, wires, hosts, ask, create, pointed, onLive } = await arena(t, replicas)
  const anyHost = () => hosts[Math.floor(random() * HOSTS)]!
  const epochOf = (host: Host) => host.owned.get(p)?.epoch ?? 0
  const newest = () => hosts.reduce((one, other) => (epochOf(other) > epochOf(one) ? other : one))
  /** Where the senders go, when the test says so. */
  let heir: Host | undefined
  const target = () => heir ?? (random() < 0.9 ? newest() : anyHost())
  const invariants = new Invariants()
  const check = invariants.room(room)
  /** The highest sequence that anybody was acked. */
  let acked = 0
  const stale: string[] = []

  await create()
  check.foreign(1)

  const outboxes = new Map<UserId, Outbox>()
  const reader = check.reader('ucat', { from: 1 })
  const saw = (bytes: Uint8Array) => {
    const event = readFrame(new Reader(bytes.slice()))
    if (event.name !== 'event') return
    if (event.seq === 1) reader.saw(1, event.id)
    else {
      const [sender, n] = Buffer.from(event.body).subarray(2).toString().split(' ')
      reader.saw(event.seq, event.id, outboxes.get(sender as UserId), Number(n))
    }
  }
  onLive(READER, saw)

  for (const wire of wires) {
    wire.plan = chance(random, { lose: 0.03, double: 0.05, late: 0.1, lateMs: 150 })
  }
  const life = AbortSignal.timeout(replicas === 1 ? 90_000 : 900_000)
  const senders = users.map((user, i) => {
    const outbox = check.outbox(user)
    outboxes.set(user, outbox)
    return new TestSender({
      ...{ user, room, outbox, window: 4, more: () => !over },
      lineage: 100 + i,
      join: user === ANN ? 0 : 1,
      target,
      acked: (seq) => {
        acked = Math.max(acked, seq)
      },
    })
  })
  let over = false
  const sending = Promise.all(senders.map((sender) => sender.run(life)))
  let reads = 0
  const read = async (host: Host) => {
    const least = acked
    const info = await ask(READER, OPEN, host)
    if (info?.name !== 'info') return
    reads++
    if (info.head < least) stale.push(`head ${info.head}, though ${least} was acked before`)
  }
  const reading = (async () => {
    const asked: Promise<void>[] = []
    while (!over) {
      for (const host of hosts) asked.push(read(host))
      await pause(3)
    }
    await Promise.all(asked)
  })()
  let view = 1
  let takeovers = 0
  const fighting = (async () => {
    while (takeovers < TAKEOVERS) {
      await pause(random() * 300)
      const former = newest()
      const next = anyHost()
      const kind = next === former ? 'loud' : KINDS[takeovers % KINDS.length]
      // The former owner gets no texts any more, by which it would find out; only who reads still asks it.
      if (kind !== 'loud') heir = next
      const wire = wires[hosts.indexOf(former)]!
      const { plan } = wire
      // Its connection stands still, with a batch on its way.
      if (kind === 'stalled') wire.plan = { append: () => 'hold', answer: () => 'hold' }
      if (await next.claim(p, ++view)) takeovers++
      if (kind !== 'loud') await pause(100)
      wire.plan = plan
      wire.letGo()
      heir = undefined
    }
  })()
  let disturbed = 0
  const disturbing = (async () => {
    while (replicas > 1 && !over) {
      await pause(3000 + random() * 3000)
      const server = servers[Math.floor(random() * servers.length)]!
      const kills = random() < 0.5
      if (kills) await server.kill()
      else server.pause()
      await pause(random() * 6000)
      if (kills) await server.start()
      else server.resume()
      disturbed++
    }
  })()
  await fighting
  over = true
  await disturbing
  await Promise.all([sending, reading])

  // What is there in the end, by the word of a new owner on a good wire.
  for (const wire of wires) wire.plan = {}
  await hosts[0]!.claim(p, ++view)
  const head = await eventually('the end', async () => {
    const info = await ask(READER, OPEN, hosts[0]!)
    return info?.name === 'info' && info.head
  })
  for (let from = 1; from <= head; from += 256) {
    const fetch = encodeFrame('fetch', { req: 1, room, from, limit: 256, back: false })
    const page = await eventually('a page', () => ask(READER, fetch, hosts[0]!))
    if (page?.name === 'page') for (const event of page.events) saw(event as unknown as Uint8Array)
  }

  t.same(
    senders.flatMap(({ refusals }) => refusals),
    [],
    'nothing was refused for good',
  )
  t.same(invariants.finish({ settled: true }), [], 'nothing lost, doubled or out of order')
  const sent = senders.reduce((sum, sender) => sum + sender.sent, 0)
  t.equal(invariants.acked, sent)
  t.equal(head, sent + 1)
  t.same(stale, [], 'L10 no read was stale')
  await eventually('L4 I2 everybody’s newest pointer tells the head', async () =>
    (await pointed()).every((its) => its === head),
  )
  // With servers away an operator is told that they are.
  const unexpected = replicas === 1 ? /./ : /damage|expected|acknowledged/
  t.same(
    hosts.flatMap(({ alarms }) => alarms.filter((text) => unexpected.test(text))),
    [],
    'no alarm',
  )
  for (const wire of wires) sameBytes(wire)
  const fenced = hosts.reduce((sum, host) => sum + host.fenced, 0)
  const faults = wires.reduce((sum, wire) => sum + wire.faults, 0)
  const resends = senders.reduce((sum, sender) => sum + sender.resends, 0)
  t.comment({ seed, sent, takeovers, fenced, faults, resends, reads, disturbed })
  t.ok(fenced > 3 && faults > 30 && resends > 3 && reads > 20 && sent > 200, 'faults have landed')
}

for (const seed of SEEDS) {
  t.test(
    `L1 L2 L3 L6 L7 L8 L9 L10 hosts fight over a partition on a bad wire (seed ${seed})`,
    (t) => fight(t, seed),
  )
}

if (CHAOS > 0) {
  t.test(
    'L1 L2 L3 L6 L7 L8 L9 L10 hosts fight while the servers of three die and sleep',
    { timeout: 1_000_000 },
    (t) => fight(t, CHAOS, 3),
  )
}

t.test(
  'L4 owner start 3: what was committed is sent again when its owner dies before it knew',
  async (t) => {
    const { wires, hosts, ask, create, pointed, onLive } = await arena(t)
    const [first, second] = hosts as [Host, Host]
    await create()
    await eventually('the first pointers are out', async () =>
      (await pointed()).every((head) => head === 1),
    )
    const live: string[] = []
    for (const user of users) {
      onLive(user, (bytes) => {
        const frame = readFrame(new Reader(bytes))
        // What came before its checkpoint may come again, too.
        if (frame.name === 'event' && frame.seq > 1) live.push(`${user} ${frame.seq}`)
      })
    }
    const send = encodeFrame('send', {
      ...{ req: 1, room, lineage: 1, join: 0, n: 2, low: 2 },
      ...{ text: 'committed', peer: null },
    })
    const wire = wires[0]!
    wire.plan = { answer: () => 'hold' }
    const told = ask(ANN, send, first)
    await eventually('the answer is withheld', () => wire.held > 0)
    wire.cut()
    t.equal(await told, undefined)
    t.same(live, [], 'L3 nothing has left')

    await second.claim(p, 2)
    await eventually('the event reaches everybody', () => live.length >= users.length)
    t.same(
      [...new Set(live)].sort(),
      users.map((user) => `${user} 2`),
    )
    await eventually('pointers tell of it', async () =>
      (await pointed()).every((head) => head === 2),
    )
    t.match(await ask(ANN, send, second), { name: 'ack', seq: 2 }, 'a resend gets the first ack')
  },
)

t.test('L4 owner start 3: pointers that died with their owner are made again', async (t) => {
  const { wires, hosts, ask, create, pointed } = await arena(t)
  const [first, second] = hosts as [Host, Host]
  await create()
  await eventually('the first pointers are out', async () =>
    (await pointed()).every((head) => head === 1),
  )
  const wire = wires[0]!
  wire.plan = { append: ({ subject }) => (subject.startsWith('inbox.') ? 'lose' : 'pass') }
  const send = encodeFrame('send', {
    ...{ req: 1, room, lineage: 1, join: 0, n: 2, low: 2 },
    ...{ text: 'committed', peer: null },
  })
  t.match(await ask(ANN, send, first), { name: 'ack', seq: 2 })
  await eventually('its pointers are lost', () => wire.faults > 0)
  wire.cut()
  await second.claim(p, 2)
  await eventually('pointers tell of it', async () => (await pointed()).every((head) => head === 2))
})
