import t from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { ANN, BEN, CAT, commands, DM, EVE, GROUP, scene } from '../../actors/room/scene.ts'
import { refuse } from '../errors.ts'
import type { RoomId } from '../ids.ts'
import { type RoomRecord, writeRecord } from '../protocol/records.ts'
import { Writer } from '../protocol/writer.ts'
import { eventually } from '../testing/eventually.ts'
import { EPOCH, partitionStage } from '../testing/partition-stage.ts'
import type { Placed } from './replay.ts'
import { MAILBOX } from './room-actor.ts'

const behavior = createRoomBehavior()
const its = commands(GROUP)
const loaded = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Records as a replay finds them, one to a batch from position 1 on. */
const placed = (records: readonly RoomRecord[]): Placed[] =>
  records.map((record, i) => ({
    position: i + 1,
    record,
    frame: writeRecord(new Writer(), record),
  }))

/** A group of Ann, Ben and Cat with three texts, from which Cat was removed at the end: sequences 1 … 5. */
const past = () => {
  const it = scene(behavior, GROUP)
  it.when(ANN, it.create({ n: 1 }, [BEN, CAT]))
  for (let n = 2; n <= 4; n++) it.when(ANN, it.send({ n, low: 1 }, `text ${n}`))
  it.when(ANN, it.remove({ n: 5, low: 1 }, CAT))
  return it
}
const stageOf = (given: Parameters<typeof partitionStage>[1] = {}) =>
  partitionStage(behavior, given)
const life = () => new AbortController().signal

t.test('owner start 3: a room is its snapshot and what the log holds past it', async (t) => {
  const { log, state } = past()
  const before = scene(behavior, GROUP)
  for (const record of log.slice(0, 2)) behavior.evolve(before.state, record)
  for (const stored of [
    [],
    [{ room: GROUP, position: 2, state: behavior.encode(before.state) }],
    [{ room: GROUP, position: 5, state: behavior.encode(state) }],
  ]) {
    const it = stageOf({ unloaded: new Map([[GROUP, placed(log)]]), stored })
    const told = it.ask(BEN, GROUP, its.open())
    const resend = it.ask(ANN, GROUP, its.send({ n: 3, low: 1 }, 'text 3'))
    await loaded()
    it.settle()
    t.match(told.finals, [{ name: 'info', head: 5, members: [{ user: ANN }, { user: BEN }] }])
    t.match(resend.finals, [{ name: 'ack', seq: 3 }])
  }
})

t.test(
  'owner start 3: what is past the snapshot is sent again, to whom each record says',
  async (t) => {
    const { log, state } = past()
    const it = stageOf({ unloaded: new Map([[GROUP, placed(log)]]) })
    it.ask(BEN, GROUP, its.open())
    await loaded()
    const got = (user: string) =>
      it.live.flatMap((one) =>
        one.user === user && one.frame.name === 'event' ? one.frame.seq : [],
      )
    t.same(got(ANN), [1, 2, 3, 4, 5])
    t.same(got(CAT), [1, 2, 3, 4, 5], 'until her removal')
    t.same(got(EVE), [])
    it.settle()
    it.clock.pass(300)
    it.partition.pulse(false)
    it.pointers.flush()
    t.same(it.inbox[0]?.entries.map((entry) => entry.kind === 'pointer' && entry.user).sort(), [
      ANN,
      BEN,
      CAT,
    ])

    const saved = [{ room: GROUP, position: 5, state: behavior.encode(state) }]
    const none = stageOf({ unloaded: new Map([[GROUP, placed(log)]]), stored: saved })
    none.ask(BEN, GROUP, its.open())
    await loaded()
    none.settle()
    none.clock.pass(300)
    none.partition.pulse(false)
    none.pointers.flush()
    t.same([none.live, none.inbox], [[], []], 'L4 what the snapshot holds is not')
  },
)

t.test('owner start 3: a read position alone owes its user a pointer', async (t) => {
  const { log, state } = past()
  const mark: RoomRecord = { kind: 'read', room: GROUP, user: BEN, seq: 4, ord: 3 }
  const it = stageOf({
    unloaded: new Map([[GROUP, placed([...log, mark])]]),
    stored: [{ room: GROUP, position: 5, state: behavior.encode(state) }],
  })
  await it.partition.loadAll(life())
  it.clock.pass(300)
  it.partition.pulse(false)
  it.pointers.flush()
  t.match(it.inbox[0]?.entries, [{ kind: 'pointer', user: BEN, version: EPOCH }])
  t.same(it.live, [])
})

t.test(
  'owner start 3: rooms load in the background; the checkpoint waits for the last',
  async (t) => {
    const { log } = past()
    const other = 'gZYXWVUTSRQPONMLKJIHGF' as RoomId
    const theirs = scene(behavior, other)
    theirs.when(EVE, theirs.create({ n: 1 }, [BEN]))
    const it = stageOf({
      unloaded: new Map([
        [GROUP, placed(log)],
        [other, placed(theirs.log)],
      ]),
    })
    const { readRoom } = it.on
    it.on.readRoom = async (room) => {
      if (room === other) throw new Error('out of reach')
      return readRoom(room)
    }
    const all = it.partition.loadAll(life())
    await eventually('the store has failed', () => it.told.includes(`store failed ${other}`))
    const round = async () => {
      it.clock.pass(20_000)
      for (let i = 0; i < 4; i++) {
        it.partition.pulse(false)
        it.pointers.flush()
        if (it.inbox.length > 0) it.ackPointers()
        await loaded()
      }
    }
    await round()
    t.equal(it.partition.rooms, 1)
    t.same(it.checkpoints, [])
    it.on.readRoom = readRoom
    await all
    t.equal(it.partition.rooms, 2)
    await round()
    t.same(it.checkpoints, [EPOCH])
    t.same(
      it.saved.map((one) => one.room).sort(),
      [GROUP, other],
      'the snapshots hold what the log held',
    )
  },
)

t.test(
  'loading in the background ends with the partition, and skips what a command has loaded',
  async (t) => {
    const { log } = past()
    const it = stageOf({ unloaded: new Map([[GROUP, placed(log)]]) })
    const { promise, resolve } = Promise.withResolvers<undefined>()
    let reads = 0
    it.on.readRoom = () => {
      reads++
      return promise
    }
    const told = it.ask(BEN, GROUP, its.open())
    const all = it.partition.loadAll(life())
    await loaded()
    t.equal(reads, 1)
    resolve(undefined)
    await all
    it.settle()
    t.match(told.finals, [{ name: 'info', head: 5 }])

    const failing = stageOf({ unloaded: new Map([[GROUP, placed(log)]]) })
    failing.on.readRoom = () => Promise.reject(new Error('out of reach'))
    const ended = failing.partition.loadAll(life())
    await loaded()
    failing.partition.stop()
    await ended
    const stopped = new AbortController()
    const another = stageOf({ unloaded: new Map([[GROUP, placed(log)]]) })
    another.on.readRoom = () => Promise.reject(new Error('out of reach'))
    const aborted = another.partition.loadAll(stopped.signal)
    await loaded()
    stopped.abort()
    await aborted
    t.equal(another.told.length, 1)
  },
)

t.test('a room whose snapshot can not be read is refused for now, and read again', async (t) => {
  const it = stageOf({ stored: [{ room: GROUP, position: 3, state: Uint8Array.of(0xff) }] })
  const told = [it.ask(BEN, GROUP, its.open()), it.ask(CAT, GROUP, its.open())]
  await loaded()
  for (const one of told) t.match(one.laters, [{ name: 'error', temporary: true }])
  t.same(it.told, [`store failed ${GROUP}`])
  t.equal(it.partition.rooms, 0)
  const { state } = past()
  it.stored.set(GROUP, { room: GROUP, position: 5, state: behavior.encode(state) })
  const again = it.ask(BEN, GROUP, its.open())
  await loaded()
  it.settle()
  t.match(again.finals, [{ name: 'info', head: 5 }])
})

t.test('L9 a partition that stops while a room loads says moved, once', async (t) => {
  for (const outcome of ['read', 'failed'] as const) {
    const it = stageOf()
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    it.on.readRoom = () => promise
    const told = it.ask(BEN, GROUP, its.open())
    it.partition.stop()
    if (outcome === 'read') resolve(undefined)
    else reject(new Error('out of reach'))
    await loaded()
    t.same([told.all, it.told], [['moved'], []], outcome)
  }
})

t.test(
  'commands wait in order while a room loads; their texts are kept, their number is bounded',
  async (t) => {
    const { state } = past()
    const it = stageOf({ stored: [{ room: GROUP, position: 5, state: behavior.encode(state) }] })
    const sends = [1, 2, 3].map((n) => {
      const send = its.send({ n, lineage: 5, join: 1 }, `text ${n}`)
      const told = it.ask(BEN, GROUP, send)
      send.text.fill(0)
      return told
    })
    let refused = 0
    for (let i = 0; i < MAILBOX; i++) {
      const { laters } = it.ask(BEN, GROUP, its.open())
      refused += laters.length
    }
    t.equal(refused, 3)
    await loaded()
    it.settle()
    t.match(
      sends.map(({ finals }) => finals[0]),
      [6, 7, 8].map((seq) => ({ name: 'ack', seq })),
    )
    const [first] = it.appends[0]!.batch.records
    t.match(first?.kind === 'event' && Buffer.from(first.body).toString('latin1'), /text 1/)
  },
)

t.test('rooms that do not exist leave nothing behind', async (t) => {
  const it = stageOf()
  it.ask(EVE, GROUP, its.open())
  await loaded()
  t.equal(it.partition.rooms, 0)
  it.settle()
  it.ask(ANN, GROUP, its.create({ n: 1 }, [BEN]))
  await loaded()
  t.equal(it.partition.rooms, 1)
})

t.test('N5 the first message of a dm waits for its permit, and all others behind it', async (t) => {
  const dm = commands(DM)
  const it = stageOf()
  const { promise, resolve } = Promise.withResolvers<'granted'>()
  it.on.permit = () => promise
  const told = [1, 2, 3].map((n) => it.ask(ANN, DM, dm.send({ n, low: 1 }, `${n}`, BEN)))
  await loaded()
  it.settle()
  for (const one of told) t.ok(one.nothing)
  t.notOk(it.partition.drained)
  resolve('granted')
  await loaded()
  it.settle()
  t.match(
    told.map(({ finals }) => finals[0]),
    [2, 3, 4].map((seq) => ({ name: 'ack', seq })),
  )
})

t.test('N5 a permit is for who asked; the others ask anew', async (t) => {
  const dm = commands(DM)
  const it = stageOf()
  let asked = 0
  it.on.permit = async () => (++asked === 1 ? refuse('blocked') : 'granted')
  const told = [
    it.ask(ANN, DM, dm.send({ n: 1 }, 'hello', BEN)),
    it.ask(BEN, DM, dm.send({ n: 1, lineage: 6 }, 'hello', ANN)),
    it.ask(ANN, DM, dm.send({ n: 1, lineage: 7 }, 'hello', BEN)),
  ]
  await loaded()
  await loaded()
  it.settle()
  t.match(told[0]?.finals, [{ name: 'error', temporary: false }])
  t.match(told[1]?.finals, [{ name: 'ack', seq: 2 }])
  t.match(told[2]?.finals, [{ name: 'ack', seq: 3 }])
  t.equal(asked, 2)
})

t.test('N5 no permit is to be had: refused for now; a stopped partition says moved', async (t) => {
  const dm = commands(DM)
  const it = stageOf()
  it.on.permit = () => Promise.reject(new Error('nobody answers'))
  const told = it.ask(ANN, DM, dm.send({ n: 1 }, 'hello', BEN))
  await loaded()
  it.settle()
  t.match([told.finals, told.laters], [[], [{ name: 'error', temporary: true }]])
  t.equal(it.partition.rooms, 0)
  const { promise, resolve } = Promise.withResolvers<'granted'>()
  it.on.permit = () => promise
  const late = it.ask(ANN, DM, dm.send({ n: 1 }, 'hello', BEN))
  await loaded()
  it.partition.stop()
  resolve('granted')
  await loaded()
  t.same(late.all, ['moved'])
})

t.test('a recent event is in memory once it is committed', async (t) => {
  const it = stageOf()
  it.ask(ANN, GROUP, its.create({ n: 1 }, [BEN]))
  await loaded()
  it.turn()
  t.equal(it.partition.recent(GROUP, 1), undefined)
  it.ack()
  t.ok(it.partition.recent(GROUP, 1))
  t.equal(it.partition.recent(GROUP, 2), undefined)
  t.equal(it.partition.recent(DM, 1), undefined)
})

t.test(
  'a room is let go when nobody used it, everything is stored and history has its events',
  async (t) => {
    const it = stageOf()
    const due = () => it.clock.now() + 1
    const rooms = () => {
      it.partition.passivate(due())
      return it.partition.rooms
    }
    it.ask(ANN, GROUP, its.create({ n: 1 }, [BEN]))
    await loaded()
    it.turn()
    t.equal(rooms(), 1, 'undecided')
    const position = it.ack()
    t.equal(rooms(), 1, 'pointers are owed')
    it.on.historyFloor = position
    it.clock.pass(10_000)
    it.partition.pulse(false)
    it.partition.pulse(false)
    it.pointers.flush()
    t.equal(rooms(), 1, 'pointers are on their way')
    it.ackPointers()
    await loaded()
    t.same(
      it.saved.map((one) => one.position),
      [position],
    )
    it.on.historyFloor = position - 1
    t.equal(rooms(), 1, 'history lacks an event')
    it.on.historyFloor = position
    it.partition.passivate(it.clock.now() - 60_000)
    t.equal(it.partition.rooms, 1, 'used lately')
    it.ask(ANN, GROUP, its.send({ n: 2 }, 'x'))
    t.equal(rooms(), 1, 'pending')
    it.turn()
    t.equal(rooms(), 1, 'on its way')
    it.ack()
    it.on.historyFloor = position + 1
    it.clock.pass(10_000)
    for (let i = 0; i < 3; i++) {
      it.partition.pulse(false)
      it.pointers.flush()
      it.ackPointers()
      await loaded()
    }
    // A refusal for good leaves a record, and no pointer is owed for it.
    const { historyFloor } = it.on
    it.ask(ANN, GROUP, its.send({ n: 3 }, ''))
    t.equal(rooms(), 1, 'a mark is pending')
    it.turn()
    t.equal(rooms(), 1, 'a mark is on its way')
    it.ack()
    t.equal(rooms(), 1, 'a mark is not in the snapshot')
    it.on.historyFloor = historyFloor + 1
    it.clock.pass(10_000)
    it.partition.pulse(false)
    it.partition.pulse(false)
    await loaded()
    t.equal(rooms(), 0)
    const told = it.ask(ANN, GROUP, its.open())
    await loaded()
    it.settle()
    t.match(told.finals, [{ name: 'info', head: 2 }], 'and is there when it is asked for')
  },
)
