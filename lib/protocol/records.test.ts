import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { fieldValues, uints, values } from '../testing/frames.ts'
import { encodeFrame } from './codec.ts'
import { room, user, type Wire } from './fields.ts'
import { BadFrame } from './reader.ts'
import {
  type Batch,
  decodeBatch,
  decodeHeader,
  eachEvent,
  encodeBatch,
  LOG_VERSION,
  type LogRecord,
  type RoomRecord,
  writeBatchHeader,
  writeRecord,
} from './records.ts'
import { Writer } from './writer.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const count = uints(Number.MAX_SAFE_INTEGER)
const of = <T>(field: unknown) => fieldValues(field as Wire) as fc.Arbitrary<T>
const rooms = of<RoomRecord['room']>(room('a room'))
const users = of<Extract<RoomRecord, { kind: 'read' }>['user']>(user('a user'))
const words = fc.stringMatching(/^[A-Za-z0-9_-]{1,32}$/)
const command = { lineage: count, n: count, low: count, hash: count }

const records: fc.Arbitrary<LogRecord> = fc.oneof(
  fc.record(
    {
      kind: fc.constant('event' as const),
      room: rooms,
      seq: count,
      ord: count,
      id: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      time: count,
      sender: users,
      type: uints(255),
      body: values(3),
      ...command,
    },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      kind: fc.constant('spent' as const),
      room: rooms,
      user: users,
      ...command,
      code: uints(65535),
    },
    { noNullPrototype: true },
  ),
  fc.record(
    { kind: fc.constant('read' as const), room: rooms, user: users, seq: count, ord: count },
    { noNullPrototype: true },
  ),
  fc.record(
    { kind: fc.constant('epoch' as const), nonce: words, incarnation: words, host: words },
    { noNullPrototype: true },
  ),
  fc.constant({ kind: 'tick' as const }),
  fc.record(
    { kind: fc.constant('handover' as const), successor: words },
    { noNullPrototype: true },
  ),
)
const batches: fc.Arbitrary<Batch> = fc.record(
  {
    epoch: count,
    number: count,
    prev: count,
    view: count,
    records: fc.array(records, { maxLength: 9 }),
  },
  { noNullPrototype: true },
)

/** Bodies are views of the batch; what matters is what they hold. */
const plain = (record: LogRecord) =>
  record.kind === 'event' ? { ...record, body: hex(record.body) } : record

t.test('L2 a batch comes back with its header and every record', async () => {
  fc.assert(
    fc.property(batches, (batch) => {
      const bytes = encodeBatch(batch)
      const read = decodeBatch(bytes)
      const { records: _, ...header } = batch
      assert.deepEqual(read.records.map(plain), batch.records.map(plain))
      assert.deepEqual({ ...read, records: undefined }, { ...header, records: undefined })
      assert.deepEqual(decodeHeader(bytes), header)
    }),
  )
})

t.test('L1 the same batch gives the same bytes, however the writer was used before', async () => {
  fc.assert(
    fc.property(batches, batches, (batch, before) => {
      const writer = writeBatchHeader(new Writer(1), before)
      for (const record of before.records) writeRecord(writer, record)
      writeBatchHeader(writer.reset(), batch)
      for (const record of batch.records) writeRecord(writer, record)
      assert.equal(hex(writer.view()), hex(encodeBatch(batch)))
    }),
  )
})

t.test('the event frame of a record is what members are sent', async () => {
  fc.assert(
    fc.property(batches, (batch) => {
      const given: string[] = []
      const expected: string[] = []
      const returned: string[] = []
      const writer = writeBatchHeader(new Writer(), batch)
      for (const record of batch.records) {
        const frame = writeRecord(writer, record)
        assert.equal(frame !== undefined, record.kind === 'event')
        if (frame !== undefined) returned.push(hex(frame))
        if (record.kind !== 'event') continue
        const { type, ...rest } = record
        expected.push(hex(encodeFrame('event', { ...rest, kind: type })))
      }
      decodeBatch(writer.take(), (room, seq, frame) => given.push(`${room} ${seq} ${hex(frame)}`))
      const events = batch.records.filter((record) => record.kind === 'event')
      assert.deepEqual(returned, expected)
      assert.deepEqual(
        given,
        events.map((event, i) => `${event.room} ${event.seq} ${expected[i]}`),
      )
    }),
  )
})

t.test('the events of a batch are the same without its records', async () => {
  const given = (read: (sink: (room: string, seq: number, frame: Uint8Array) => void) => void) => {
    const list: string[] = []
    try {
      read((room, seq, frame) => list.push(`${room} ${seq} ${hex(frame)}`))
    } catch (error) {
      assert.ok(error instanceof BadFrame, `${error}`)
      return 'refused'
    }
    return list
  }
  fc.assert(
    fc.property(batches, (batch) => {
      const bytes = encodeBatch(batch)
      assert.deepEqual(
        given((sink) => eachEvent(bytes, sink)),
        given((sink) => decodeBatch(bytes, sink)),
      )
      assert.equal(
        given((sink) => eachEvent(bytes.subarray(0, bytes.length - 1), sink)),
        given((sink) => decodeBatch(bytes.subarray(0, bytes.length - 1), sink)),
      )
    }),
  )
  const newer = writeBatchHeader(new Writer(), { epoch: 1, number: 1, prev: 1, view: 1 })
  assert.equal(
    given((sink) => eachEvent(newer.array(1).uint(99).take(), sink)),
    'refused',
  )
})

t.test('a frame that was given out does not change with the next record', async (t) => {
  const event = (text: number): LogRecord => ({
    kind: 'event',
    room: 'g12345678' as RoomRecord['room'],
    seq: text,
    ord: 1,
    id: 1n,
    time: 1,
    sender: 'uAda' as never,
    type: 1,
    body: Uint8Array.of(0x91, text),
    lineage: 1,
    n: 1,
    low: 1,
    hash: 1,
  })
  const writer = new Writer()
  const first = writeRecord(writer, event(1))!
  const before = hex(first)
  writeRecord(writer, event(2))
  t.equal(hex(first), before)
})

t.test('what a reader does not know stops it: a log is never read in part', async (t) => {
  const header = { epoch: 1, number: 2, prev: 3, view: 4 }
  const newer = new Writer()
    .uint(LOG_VERSION + 1)
    .uint(1)
    .uint(2)
    .uint(3)
    .uint(4)
    .take()
  t.throws(() => decodeBatch(newer), BadFrame)
  t.throws(() => decodeHeader(newer), BadFrame)
  const unknown = writeBatchHeader(new Writer(), header).array(2).uint(99).uint(1).take()
  t.throws(() => decodeBatch(unknown), /kind 99/)
  t.match(decodeHeader(unknown), header, 'its header can be read')
  t.strictSame(decodeBatch(writeBatchHeader(new Writer(), header).take()).records, [])
})

t.test('fields of newer writers are passed over', async (t) => {
  const header = { epoch: 1, number: 2, prev: 3, view: 4 }
  const longer = (record: LogRecord) => {
    const writer = new Writer()
    writeRecord(writer, record)
    const bytes = writer.take()
    const length = bytes[0]! & 15
    return new Writer()
      .array(length + 2)
      .raw(bytes.subarray(1))
      .str('more')
      .nil()
      .take()
  }
  fc.assert(
    fc.property(fc.array(records, { minLength: 1, maxLength: 5 }), (list) => {
      const writer = writeBatchHeader(new Writer(), header)
      for (const record of list) writer.raw(longer(record))
      assert.deepEqual(decodeBatch(writer.take()).records.map(plain), list.map(plain))
    }),
  )
  t.pass('for every kind')
})

t.test('a batch that was cut or hit is a BadFrame or a batch', async (t) => {
  fc.assert(
    fc.property(batches, fc.nat(), uints(255), fc.boolean(), (batch, at, byte, cut) => {
      const bytes = encodeBatch(batch)
      const broken = cut ? bytes.subarray(0, at % bytes.length) : bytes
      if (!cut) broken[at % broken.length] = byte
      try {
        decodeBatch(broken)
      } catch (error) {
        assert.ok(error instanceof BadFrame, `${error}`)
      }
    }),
    { numRuns: 1000 },
  )
  t.throws(() => decodeBatch(new Uint8Array(0)), BadFrame)
})

t.test('numbers of kinds are fixed: logs live longer than code', async (t) => {
  const bytes = (record: LogRecord) => {
    const writer = new Writer()
    writeRecord(writer, record)
    return hex(writer.take())
  }
  const room = 'g12345678' as RoomRecord['room']
  const user = 'uAda' as never
  const roomHex = `a9${hex(Buffer.from(room))}`
  const userHex = `a4${hex(Buffer.from('uAda'))}`
  const spent = { kind: 'spent', room, user, lineage: 1, n: 2, low: 3, hash: 4, code: 5 } as const
  t.equal(bytes(spent), `9802${roomHex}${userHex}0102030405`)
  t.equal(bytes({ kind: 'read', room, user, seq: 1, ord: 2 }), `9503${roomHex}${userHex}0102`)
  t.equal(bytes({ kind: 'epoch', nonce: 'n', incarnation: 'i', host: 'h' }), '940aa16ea169a168')
  t.equal(bytes({ kind: 'tick' }), '910b')
  t.equal(bytes({ kind: 'handover', successor: 's' }), '920ca173')
  t.equal(
    hex(encodeBatch({ epoch: 300, number: 1, prev: 2, view: 3, records: [] })),
    '01cd012c010203',
  )
})
