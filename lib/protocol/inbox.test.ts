import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { RoomId, UserId } from '../ids.ts'
import { uints } from '../testing/frames.ts'
import {
  type InboxEntry,
  readInbox,
  writeAccountEntry,
  writeMarkerEntry,
  writePointerEntry,
} from './inbox.ts'
import { BadFrame } from './reader.ts'
import { Writer } from './writer.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const ids = fc.stringMatching(/^[A-Za-z0-9_-]{1,32}$/)
const version = uints(Number.MAX_SAFE_INTEGER)
const bytes = fc.uint8Array({ maxLength: 300 })

const entries: fc.Arbitrary<InboxEntry> = fc.oneof(
  fc.record({
    kind: fc.constant('pointer' as const),
    user: ids as fc.Arbitrary<UserId>,
    room: ids as fc.Arbitrary<RoomId>,
    version,
    pointer: bytes,
  }),
  fc.record({
    kind: fc.constant('account' as const),
    user: ids as fc.Arbitrary<UserId>,
    version,
    account: bytes,
  }),
  fc.record({ kind: fc.constant('marker' as const), nonce: ids }),
)

const write = (writer: Writer, entry: InboxEntry): Writer =>
  entry.kind === 'pointer'
    ? writePointerEntry(writer, entry.user, entry.room, entry.version, entry.pointer)
    : entry.kind === 'account'
      ? writeAccountEntry(writer, entry.user, entry.version, entry.account)
      : writeMarkerEntry(writer, entry.nonce)

const read = (batch: Uint8Array): InboxEntry[] => {
  const list: InboxEntry[] = []
  readInbox(batch, (entry) => list.push(entry))
  return list
}

/** One entry on one line, bytes in hex. */
const line = (entry: InboxEntry): string =>
  JSON.stringify(
    Object.entries(entry)
      .map(([key, value]) => [key, value instanceof Uint8Array ? hex(value) : value])
      .sort(),
  )

t.test('entries come back in order', async () => {
  fc.assert(
    fc.property(fc.array(entries, { maxLength: 12 }), (list) => {
      const writer = new Writer(1)
      for (const entry of list) write(writer, entry)
      assert.deepEqual(read(writer.take()).map(line), list.map(line))
    }),
  )
})

t.test('fields of newer writers are passed over', async () => {
  fc.assert(
    fc.property(fc.array(entries, { minLength: 1, maxLength: 5 }), (list) => {
      const writer = new Writer()
      for (const entry of list) {
        const plain = write(new Writer(), entry).take()
        writer
          .array((plain[0]! & 15) + 2)
          .raw(plain.subarray(1))
          .nil()
          .str('more')
      }
      assert.deepEqual(read(writer.take()).map(line), list.map(line))
    }),
  )
})

t.test('an entry outlives its batch', async (t) => {
  const batch = writePointerEntry(
    new Writer(),
    'uAda' as UserId,
    'g12345678' as RoomId,
    5,
    Uint8Array.of(1, 2),
  ).take()
  const [entry] = read(batch)
  batch.fill(0)
  t.match(entry, { kind: 'pointer', version: 5 })
  t.equal(entry?.kind === 'pointer' && hex(entry.pointer), '0102')
})

t.test('numbers of kinds are fixed', async (t) => {
  const user = 'uAda' as UserId
  const room = 'g12345678' as RoomId
  const [userHex, roomHex] = [`a4${hex(Buffer.from(user))}`, `a9${hex(Buffer.from(room))}`]
  const one = Uint8Array.of(7)
  t.equal(
    hex(writePointerEntry(new Writer(), user, room, 300, one).take()),
    `9501${userHex}${roomHex}cd012cc40107`,
  )
  t.equal(hex(writeAccountEntry(new Writer(), user, 2, one).take()), `9402${userHex}02c40107`)
  t.equal(hex(writeMarkerEntry(new Writer(), 'n').take()), '9203a16e')
})

t.test('what is no batch is a BadFrame', async (t) => {
  t.throws(() => read(new Writer().array(2).uint(99).nil().take()), /kind 99/)
  const whole = writeAccountEntry(new Writer(), 'uAda' as UserId, 2, Uint8Array.of(7)).take()
  for (let size = 1; size < whole.length; size++) {
    t.throws(() => read(whole.subarray(0, size)), BadFrame, `${size} bytes`)
  }
  t.strictSame(read(new Uint8Array(0)), [])
})
