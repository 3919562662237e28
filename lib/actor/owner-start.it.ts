import t, { type Test } from 'tap'
import type { StoredMessage } from '../bus/bus.ts'
import { checkpointKey, Positions } from '../bus/positions.ts'
import type { RoomId } from '../ids.ts'
import { encodeBatch, type LogRecord } from '../protocol/records.ts'
import { logSubject } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import { faultyWire } from '../testing/faulty-wire.ts'
import { takeLog as fenceLog, logOwner } from '../testing/log-owner.ts'
import { startBus } from '../testing/servers/bus.ts'
import { TestClock } from '../testing/test-clock.ts'
import { Appends } from './appends.ts'
import { QUIET_MS } from './lease.ts'
import { type StartContext, takeLog } from './owner-start.ts'

const ROOM = 'gABCDEFGHIJKLMNOPQRSTU' as RoomId
const mark = (seq: number): LogRecord => ({
  kind: 'read',
  room: ROOM,
  user: 'uann' as never,
  seq,
  ord: seq,
})
const within = () => AbortSignal.timeout(20_000)

const PARTITIONS = 32
let next = 0

const open = async (t: Test) => {
  const bus = await startBus(t, { partitions: PARTITIONS, streams: 1 })
  const plain = await bus.connect()
  const checkpoints = await plain.bucket('checkpoints')

  /** A partition of this test's own, an owner to come, and what it is told of its world. */
  const stage = (t: Test) => {
    const p = next++
    const wire = faultyWire(plain)
    const appends = new Appends(wire, { log: () => {}, inbox: () => {} })
    t.teardown(() => appends.close())
    const clock = new TestClock()
    const on = {
      historyFloor: Number.MAX_SAFE_INTEGER,
      dead: (_epoch: number): boolean => false,
      reads: 0,
    }
    const asked: number[] = []
    const alarms: string[] = []
    const context: StartContext = {
      nats: wire,
      clock,
      appends,
      positions: new Positions(checkpoints),
      streams: 1,
      historyFloor: async () => on.historyFloor,
      inboxConsumer: () => {
        throw new Error('not asked here')
      },
      provenDead: (_p, epoch) => {
        asked.push(epoch)
        return on.dead(epoch)
      },
      alarm: (_p, text) => alarms.push(text),
    }
    /** The first `times` reads of the log give what `spoil` leaves of it. */
    const spoil = (times: number, change: (all: StoredMessage[]) => StoredMessage[]) => {
      wire.plan = {
        reads: {
          read: async (stream, subjects, from, onMessage) => {
            on.reads++
            const all: StoredMessage[] = []
            await plain.streams.read(stream, subjects, from, (message) => all.push(message))
            for (const message of on.reads <= times ? change(all) : all) onMessage(message)
          },
        },
      }
    }
    return {
      p,
      wire,
      clock,
      on,
      asked,
      alarms,
      spoil,
      checkpoint: (position: number) =>
        new Positions(checkpoints).raise(checkpointKey(p), position),
      /** A former owner writes so many batches; answers their positions, its epoch first. */
      former: async (batches: number, view = 1, records = (n: number) => [mark(n)]) => {
        const epoch = await fenceLog(plain, p, view)
        const owner = logOwner(plain, p, epoch, clock, view)
        for (let n = 1; n <= batches; n++) await owner.commit(records(n))
        owner.close()
        return [epoch, ...owner.committed]
      },
      take: async (view = 2, signal = within()) => {
        const who = { incarnation: `h${view}`, host: `h${view}`, view }
        const taken = await takeLog(context, p, who, signal)
        return taken.kind === 'yield'
          ? taken
          : { ...taken, positions: (taken.chain.rooms.get(ROOM) ?? []).map((one) => one.position) }
      },
    }
  }
  return { plain, stage }
}

t.test('owner start', async (t) => {
  const { plain, stage } = await open(t)

  await t.test('owner start 2, 3: an empty log: nothing to read, nobody to wait for', async (t) => {
    const it = stage(t)
    t.match(await it.take(), { kind: 'owned', checkpoint: 0, positions: [], quietUntil: 0 })
    t.same(it.asked, [])
  })

  await t.test('owner start 3: the log from the checkpoint to its own record', async (t) => {
    const it = stage(t)
    const first = await it.former(3)
    const second = await it.former(2)
    const all = await it.take()
    t.match(all, { kind: 'owned', positions: [...first.slice(1), ...second.slice(1)] })
    await it.checkpoint(first[2]!)
    t.match(await it.take(), { checkpoint: first[2], positions: [first[3], ...second.slice(1)] })
    it.on.historyFloor = first[1]!
    t.match(
      await it.take(),
      { checkpoint: first[2], positions: [first[2], first[3], ...second.slice(1)] },
      'from what history lacks',
    )
    await it.checkpoint(second[2]!)
    it.on.historyFloor = Number.MAX_SAFE_INTEGER
    t.match(await it.take(), { checkpoint: second[2], positions: [] })
  })

  await t.test(
    'L2 owner start 3: a replay that is not whole is read again, never served',
    async (t) => {
      const spoiled: Record<string, (all: StoredMessage[]) => StoredMessage[]> = {
        'a stale end': (all) => all.slice(0, -1),
        'a short read': (all) => all.slice(0, 2),
        nothing: () => [],
        'a hole': (all) => all.filter((_, i) => i !== 2),
        'its beginning is missing': (all) => all.slice(1),
        'an epoch is missing': (all) => all.filter((_, i) => i !== 4),
        'bytes that are no batch': ([one, ...rest]) => [
          { ...one!, data: Uint8Array.of(7) },
          ...rest,
        ],
      }
      for (const [what, change] of Object.entries(spoiled)) {
        const it = stage(t)
        const first = await it.former(3)
        const second = await it.former(1)
        it.spoil(3, change)
        t.match(
          await it.take(),
          { kind: 'owned', positions: [...first.slice(1), ...second.slice(1)] },
          what,
        )
        t.equal(it.on.reads, 4, what)
      }
    },
  )

  await t.test('L2 a hole in the log itself is never served', async (t) => {
    const it = stage(t)
    const [epoch, first] = await it.former(2)
    // What no owner writes: a batch that claims to follow another than it does.
    await new Promise<void>((resolve) => {
      const { prefix, close } = plain.inbox(() => {
        close()
        resolve()
      })
      const bytes = encodeBatch({
        epoch: epoch!,
        number: 4,
        prev: first!,
        view: 1,
        records: [mark(9)],
      })
      plain.streams.append(logSubject(it.p), bytes, undefined, `${prefix}.x`)
    })
    let reads = 0
    it.wire.plan = {
      reads: {
        read: async (...args) => {
          reads++
          await plain.streams.read(...args)
        },
      },
    }
    const life = new AbortController()
    const taking = it.take(2, life.signal)
    await eventually('it reads again', () => reads > 5)
    life.abort(new Error('enough'))
    await t.rejects(taking)
  })

  await t.test('owner start 3: an alarm when it can not be read for long', async (t) => {
    const it = stage(t)
    await it.former(1)
    let tries = 0
    it.wire.plan = {
      reads: {
        read: async (...args) => {
          it.clock.pass(4000)
          if (++tries > 3) return plain.streams.read(...args)
          throw new Error('the stream is away')
        },
      },
    }
    t.match(await it.take(), { kind: 'owned' })
    t.match(it.alarms, [/the stream is away/])
  })

  await t.test(
    'owner start 3: the record after a stale checkpoint is gone: it is read again',
    async (t) => {
      const it = stage(t)
      const first = await it.former(4)
      await it.checkpoint(first[1]!)
      let reads = 0
      it.wire.plan = {
        reads: {
          read: async (stream, subjects, from, onMessage) => {
            if (++reads === 1) {
              // Trimmed by another, whose checkpoint this one has not seen.
              await it.checkpoint(first[3]!)
              await plain.streams.purge('LOG_0', first[3]!, logSubject(it.p))
            }
            await plain.streams.read(stream, subjects, from, onMessage)
          },
        },
      }
      t.match(await it.take(), { kind: 'owned', checkpoint: first[3], positions: [first[4]] })
      t.equal(reads, 2)
    },
  )

  await t.test('owner start 2: yields to a newer view', async (t) => {
    const it = stage(t)
    await it.former(1, 7)
    // Its hint is stale, so that it meets the record.
    it.wire.plan = { reads: { last: async () => undefined } }
    t.same(await it.take(3), { kind: 'yield', view: 7 })
  })

  await t.test('L9 owner start 3: another took over while this one read: yields', async (t) => {
    const it = stage(t)
    await it.former(2)
    let once = false
    it.wire.plan = {
      reads: {
        read: async (stream, subjects, from, onMessage) => {
          if (!once) await it.former(1, 9)
          once = true
          await plain.streams.read(stream, subjects, from, onMessage)
        },
      },
    }
    t.same(await it.take(2), { kind: 'yield', view: 9 })
  })

  await t.test('owner start 3: a checkpoint past its own record: fenced', async (t) => {
    const it = stage(t)
    await it.former(1)
    it.wire.plan = {
      reads: {
        // This replica knows nothing of the later owner.
        read: async () => {
          const theirs = await it.former(2, 9)
          await it.checkpoint(theirs[2]!)
        },
      },
    }
    t.same(await it.take(2), { kind: 'yield', view: 9 })
  })

  await t.test('L10 a new owner is quiet while the former one may be answering', async (t) => {
    const it = stage(t)
    const [epoch] = await it.former(2)
    it.clock.pass(500)
    const taken = await it.take()
    t.match(taken, { quietUntil: it.clock.monotonic() + QUIET_MS })
    t.same(it.asked, [epoch], 'the epoch of whoever wrote last')
    it.on.dead = (of) => of === -1
    const again = await it.take()
    t.match(again, { quietUntil: 0 }, 'nobody else can be alive')
    t.same(it.asked.slice(1), [-1], 'an owner that wrote nothing says nothing of the one before it')
  })

  await t.test('L10 it need not be quiet when the former owner is proven dead', async (t) => {
    const it = stage(t)
    const [epoch] = await it.former(2)
    it.on.dead = (of) => of === epoch
    t.match(await it.take(), { quietUntil: 0 })
    it.on.dead = (of) => of !== -1
    t.match(await it.take(), { quietUntil: it.clock.monotonic() + QUIET_MS })
  })

  await t.test('L10 nor after a handover, read or not; but after anything behind it', async (t) => {
    const it = stage(t)
    const handover = (n: number): LogRecord[] =>
      n === 2 ? [mark(n), { kind: 'handover', successor: 'h2' }] : [mark(n)]
    const first = await it.former(2, 1, handover)
    await it.checkpoint(first[2]!)
    t.match(await it.take(), { positions: [], quietUntil: 0 })
    const other = stage(t)
    await other.former(2, 1, handover)
    // It was read with the chain.
    other.wire.plan = { reads: { get: () => Promise.reject(new Error('no leader')) } }
    t.match(await other.take(), { quietUntil: 0 })
    const more = stage(t)
    await more.former(3, 1, handover)
    t.match(await more.take(), { quietUntil: more.clock.monotonic() + QUIET_MS })
  })

  await t.test('L10 when the former record can not be read, it is quiet', async (t) => {
    const it = stage(t)
    await it.former(1)
    it.wire.plan = { reads: { get: () => Promise.reject(new Error('no leader')) } }
    t.match(await it.take(), { quietUntil: it.clock.monotonic() + QUIET_MS })
    it.wire.plan = { reads: { get: async () => undefined } }
    t.match(await it.take(), { quietUntil: it.clock.monotonic() + QUIET_MS })
  })
})
