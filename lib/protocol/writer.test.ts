import assert from 'node:assert/strict'
import fc from 'fast-check'
import { unpack } from 'msgpackr'
import t from 'tap'
import { INTEGERS } from './vectors.ts'
import { Writer } from './writer.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

t.test('W2 integers take the smallest unsigned form', async (t) => {
  for (const [value, bytes] of INTEGERS) t.equal(hex(new Writer().uint(value).take()), bytes)
})

t.test('W2 what is no safe unsigned integer is never written', async (t) => {
  const writer = new Writer()
  const wrong = [-1, -0.5, 0.5, 1.5, 127.5, 300.5, 70000.5, 2 ** 32 + 0.5, 2 ** 53, 2 ** 64]
  for (const value of [...wrong, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    t.throws(() => writer.uint(value), RangeError, String(value))
  }
  t.equal(writer.length, 0)
  t.equal(hex(writer.uint(-0).take()), '00')
})

t.test('W2 a snowflake always has nine bytes', async (t) => {
  for (const [value, bytes] of [
    [0n, 'cf0000000000000000'],
    [1n, 'cf0000000000000001'],
    [2n ** 53n, 'cf0020000000000000'],
    [2n ** 63n - 1n, 'cf7fffffffffffffff'],
  ] as const) {
    t.equal(hex(new Writer().id64(value).take()), bytes)
  }
})

t.test('headers change their form where MessagePack says', async (t) => {
  const start = (write: (writer: Writer) => Writer, size: number) =>
    hex(write(new Writer()).take().subarray(0, size))
  const text = (size: number) => (writer: Writer) => writer.str('a'.repeat(size))
  t.equal(start(text(0), 9), 'a0')
  t.equal(start(text(31), 2), 'bf61')
  t.equal(start(text(32), 3), 'd92061')
  t.equal(start(text(255), 3), 'd9ff61')
  t.equal(start(text(256), 4), 'da010061')
  t.equal(start(text(65535), 4), 'daffff61')
  t.equal(start(text(65536), 6), 'db0001000061')
  const bin = (size: number) => (writer: Writer) => writer.bin(new Uint8Array(size).fill(7))
  t.equal(start(bin(0), 9), 'c400')
  t.equal(start(bin(255), 3), 'c4ff07')
  t.equal(start(bin(256), 4), 'c5010007')
  t.equal(start(bin(65535), 4), 'c5ffff07')
  t.equal(start(bin(65536), 6), 'c60001000007')
  const array = (size: number) => (writer: Writer) => writer.array(size)
  t.equal(start(array(0), 9), '90')
  t.equal(start(array(15), 9), '9f')
  t.equal(start(array(16), 9), 'dc0010')
  t.equal(start(array(65535), 9), 'dcffff')
  t.equal(start(array(65536), 9), 'dd00010000')
  t.equal(hex(new Writer().nil().bool(true).bool(false).take()), 'c0c3c2')
})

t.test('text is UTF-8, counted in bytes', async (t) => {
  t.equal(hex(new Writer().str('aé').take()), 'a361c3a9')
  t.equal(hex(new Writer().str('\u{1f600}').take()), 'a4f09f9880')
  t.equal(hex(new Writer().str('\ufeffa').take()), 'a4efbbbf61', 'a BOM is text')
  // 31 characters that are more than 31 bytes, with the first one to need two at either end.
  t.equal(hex(new Writer().str(`é${'a'.repeat(30)}`).take()), `d920c3a9${'61'.repeat(30)}`)
  t.equal(hex(new Writer().str(`${'a'.repeat(30)}é`).take()), `d920${'61'.repeat(30)}c3a9`)
  t.equal(hex(new Writer().str('\ud800').take()), 'a3efbfbd', 'half a surrogate pair is replaced')
})

t.test('one buffer grows, is lent and starts anew', async (t) => {
  const writer = new Writer(1)
  writer
    .uint(1)
    .str('grows past one byte')
    .raw(Uint8Array.of(0x93, 1, 2, 3))
  t.equal(writer.length, 25)
  t.equal(hex(writer.view(21)), '93010203')
  writer.truncate(21)
  t.equal(writer.length, 21)
  writer.truncate(99)
  t.equal(writer.length, 21, 'there is nothing to forget')
  const copy = writer.take()
  t.equal(writer.length, 0)
  writer.uint(2)
  t.equal(copy[0], 1, 'what was taken is not overwritten')
  t.equal(hex(writer.view()), '02')
  t.equal(writer.reset().length, 0)
})

t.test('growing at any place loses nothing', async (t) => {
  const write = (writer: Writer) =>
    hex(
      writer
        .array(3)
        .nil()
        .bool(true)
        .uint(5)
        .uint(200)
        .uint(2000)
        .uint(2 ** 20)
        .uint(2 ** 40)
        .id64(5n)
        .str('ab')
        .str('é')
        .bin(Uint8Array.of(9))
        .raw(Uint8Array.of(0xc0))
        .array(16)
        .take(),
    )
  const expected =
    '93c0c305ccc8cd07d0ce00100000cf0000010000000000cf0000000000000005a26162a2c3a9c40109c0dc0010'
  for (let capacity = 1; capacity <= expected.length / 2; capacity++) {
    t.equal(write(new Writer(capacity)), expected, `from ${capacity} bytes`)
  }
})

t.test('results share slabs, never bytes', async () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 2000 }), { maxLength: 40 }), (parts) => {
      const writer = new Writer()
      const taken = parts.map((part) => writer.raw(part).take())
      assert.deepEqual(taken.map(hex), parts.map(hex))
      // Whoever writes into a result of its own changes no other.
      for (const [i, bytes] of taken.entries()) bytes.fill(i)
      for (const [i, bytes] of taken.entries()) assert.ok(bytes.every((byte) => byte === i))
    }),
  )
})

t.test('finish gives the bytes themselves', async (t) => {
  const writer = new Writer(1).str('a text that makes it grow').uint(300)
  const length = writer.length
  const bytes = writer.finish()
  t.equal(bytes.length, length)
  t.equal(hex(bytes.subarray(-3)), 'cd012c')
  t.equal(bytes.buffer, writer.view().buffer)
})

t.test('another MessagePack implementation reads the same', async () => {
  const value = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeNat(),
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  )
  const write = (writer: Writer, item: null | boolean | number | string | Uint8Array): Writer =>
    item === null
      ? writer.nil()
      : typeof item === 'boolean'
        ? writer.bool(item)
        : typeof item === 'number'
          ? writer.uint(item)
          : typeof item === 'string'
            ? writer.str(item)
            : writer.bin(item)
  fc.assert(
    fc.property(fc.array(value, { maxLength: 40 }), (items) => {
      const writer = new Writer(1).array(items.length)
      for (const item of items) write(writer, item)
      const plain = (item: unknown): unknown =>
        item instanceof Uint8Array ? hex(item) : typeof item === 'bigint' ? Number(item) : item
      assert.deepEqual(unpack(writer.take()).map(plain), items.map(plain))
    }),
  )
})
