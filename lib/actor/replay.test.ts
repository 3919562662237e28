import fc from 'fast-check'
import t from 'tap'
import type { StoredMessage } from '../bus/bus.ts'
import type { RoomId, UserId } from '../ids.ts'
import { type Batch, encodeBatch, type LogRecord } from '../protocol/records.ts'
import { BrokenChain, ChainBuilder, isEvent, Superseded } from './replay.ts'

const ROOM = 'gABCDEFGH1' as RoomId
const OTHER = 'gABCDEFGH2' as RoomId

const event = (seq: number, room = ROOM): LogRecord => ({
  kind: 'event',
  room,
  seq,
  ord: seq,
  id: BigInt(seq),
  time: 1000 + seq,
  sender: 'uann' as UserId,
  type: 1,
  body: Uint8Array.of(0x90),
  lineage: 1,
  n: seq,
  low: 1,
  hash: 1,
})
const epochRecord = (of: string): LogRecord => ({
  kind: 'epoch',
  nonce: of,
  incarnation: of,
  host: of,
})

type Written = Batch & { readonly seq: number }
const message = ({ seq, ...batch }: Written): StoredMessage => ({
  seq,
  subject: 'log.0',
  time: 0,
  data: encodeBatch(batch),
})

/** A log of owners one after the other, each with so many batches; `step`s between sequences are other partitions'. */
const logOf = (owners: readonly number[], step = 1): Written[] => {
  const log: Written[] = []
  let last = 0
  let room = 0
  const write = (batch: Omit<Written, 'seq' | 'prev' | 'view'>) => {
    const seq = last + step
    log.push({ ...batch, prev: last, view: 1, seq })
    last = seq
  }
  for (const batches of owners) {
    write({ epoch: 0, number: 0, records: [epochRecord(`h${last}`)] })
    const epoch = last
    for (let number = 1; number <= batches; number++) {
      write({ epoch, number, records: [event(++room)] })
    }
  }
  return log
}

/** Reads `log` past `floor`; our own epoch record is its last, unless `epoch` says another. */
const read = (
  log: readonly Written[],
  given: { floor?: number; checkpoint?: number; epoch?: number } = {},
) => {
  const { floor = 0, epoch = log.at(-1)?.seq ?? 0 } = given
  const { checkpoint = floor } = given
  const builder = new ChainBuilder(floor, checkpoint, epoch)
  for (const one of log) if (one.seq > floor) builder.add(message(one))
  return builder.finish()
}

t.test('L2 a whole chain: its records by room, in order, with their frames', async (t) => {
  const log = logOf([3, 2, 0], 2)
  log[1] = { ...log[1]!, records: [event(1), { kind: 'tick' }, event(1, OTHER)] }
  const { rooms, handed } = read(log)
  const placed = rooms.get(ROOM)!
  t.same(
    placed.map(({ position, record }) => [position, isEvent(record) ? record.seq : undefined]),
    [
      [4, 1],
      [6, 2],
      [8, 3],
      [12, 4],
      [14, 5],
    ],
  )
  t.equal(rooms.get(OTHER)?.[0]?.position, 4)
  for (const { frame } of placed) t.ok(frame instanceof Uint8Array)
  t.not(handed, true)
})

t.test('L2 marks have no frame; the events beside them keep theirs', async (t) => {
  const log = logOf([1, 0])
  const mark = { kind: 'read', room: ROOM, user: 'uann' as UserId, seq: 1, ord: 1 } as const
  log[1] = { ...log[1]!, records: [event(1), mark, event(2)] }
  const placed = read(log).rooms.get(ROOM)!
  t.same(
    placed.map(({ frame, record }) => [record.kind, frame !== undefined]),
    [
      ['event', true],
      ['read', false],
      ['event', true],
    ],
  )
  t.notSame(placed[0]?.frame, placed[2]?.frame)
})

t.test('L2 no record may be missing, whichever it is', async (t) => {
  const owners = fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(owners, fc.nat(), (before, nth) => {
      const log = logOf([...before, 0])
      const without = log.filter((_, i) => i !== nth % log.length)
      const epoch = log.at(-1)!.seq
      t.ok(read(log, { epoch }))
      try {
        read(without, { epoch })
      } catch (error) {
        return error instanceof BrokenChain
      }
      return false
    }),
  )
})

t.test('L2 nor with any checkpoint and history floor below it', async (t) => {
  const log = logOf([4, 3, 0])
  const seqs = [0, ...log.slice(0, -1).map(({ seq }) => seq)]
  for (const checkpoint of seqs) {
    for (const floor of seqs.filter((seq) => seq <= checkpoint)) {
      t.ok(read(log, { floor, checkpoint }))
      for (const missing of log.filter(({ seq }) => seq > floor)) {
        const without = log.filter((one) => one !== missing)
        t.throws(
          () => read(without, { floor, checkpoint, epoch: log.at(-1)!.seq }),
          { name: 'BrokenChain' },
          `${missing.seq} missing, floor ${floor}, checkpoint ${checkpoint}`,
        )
      }
    }
  }
})

t.test('L2 what is at or below the floor is not looked at', async (t) => {
  const log = logOf([3, 0])
  const builder = new ChainBuilder(4, 4, 5)
  for (const one of log) builder.add(message(one))
  t.same([...builder.finish().rooms], [])
})

t.test('owner start 3: a stale end, an empty read, a chain that is another', async (t) => {
  const log = logOf([3, 0])
  const broken = { name: 'BrokenChain' }
  t.throws(() => read(log.slice(0, -1), { epoch: 5 }), broken, 'the end is missing')
  t.throws(() => read([], { epoch: 5 }), broken, 'nothing came')
  t.throws(() => read(log, { floor: 2, checkpoint: 3 - 0.5 }), broken, 'no record there')
  t.throws(
    () => read([{ ...log[3]!, prev: 1 }, log[4]!], { floor: 2, epoch: 5 }),
    broken,
    'it does not pass through the checkpoint',
  )
})

t.test('owner start 3: the first record may not follow one that was not read', async (t) => {
  const log = logOf([3, 0])
  t.throws(() => read(log.slice(2), { floor: 1, checkpoint: 1 }), { name: 'BrokenChain' })
  t.throws(() => read(log.slice(2), { floor: 1, checkpoint: 4 }), { name: 'BrokenChain' })
  // History's floor may lie anywhere, so the first record read may follow one below it.
  const sparse = logOf([3, 0], 10)
  t.ok(read(sparse, { floor: 25, checkpoint: 40 }))
})

t.test('L2 batches are dense within an epoch and begin after its own record', async (t) => {
  const log = logOf([3, 2, 0])
  const changed = (at: number, change: Partial<Written>) =>
    log.map((one, i) => (i === at ? { ...one, ...change } : one))
  for (const [what, wrong] of Object.entries({
    'a number left out': changed(2, { number: 3 }),
    'a number again': changed(2, { number: 1 }),
    'not from 1': changed(1, { number: 2 }),
    'an epoch without its record': changed(5, { epoch: 4 }),
    'an older epoch after a newer': changed(5, { epoch: 1, number: 4 }),
  })) {
    t.throws(() => read(wrong), { name: 'BrokenChain' }, what)
  }
})

t.test('L2 an epoch of one batch needs its record as well', async (t) => {
  const log = logOf([3, 1, 0])
  log[5] = { ...log[5]!, epoch: 4 }
  t.throws(() => read(log), { name: 'BrokenChain' })
})

t.test('owner start 3: a record after our own: the log is another’s, with its view', async (t) => {
  const log = logOf([2, 0, 1])
  log[4] = { ...log[4]!, view: 9 }
  t.throws(() => read(log, { epoch: 4 }), new Superseded(5, 9))
})

t.test('L10 whether the record before ours is a handover', async (t) => {
  const handover: LogRecord = { kind: 'handover', successor: 'hb' }
  const log = logOf([2, 0])
  const last = log.length - 2
  log[last] = { ...log[last]!, records: [event(2), handover] }
  t.equal(read(log).handed, true)
  const more = logOf([3, 0])
  more[last] = { ...more[last]!, records: [handover] }
  t.not(read(more).handed, true, 'something was written after it')
  t.not(read(log, { floor: 3 }).handed, true, 'it was not read')
})
