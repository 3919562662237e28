import assert from 'node:assert/strict'
import fc from 'fast-check'
import { pack } from 'msgpackr'
import t, { type Test } from 'tap'
import { BadFrame, MAX_DEPTH, Reader } from './reader.ts'
import { INTEGERS } from './vectors.ts'

const bytes = (...parts: (string | Uint8Array)[]): Uint8Array =>
  Buffer.concat(
    parts.map((part) =>
      typeof part === 'string' ? Buffer.from(part.replaceAll(' ', ''), 'hex') : part,
    ),
  )
const reader = (...parts: (string | Uint8Array)[]): Reader => new Reader(bytes(...parts))
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex')

/** Asserts that `read` refuses the bytes as a bad frame, not by some other error. */
const refuses = (t: Test, hexText: string, read: (reader: Reader) => unknown, why: string) =>
  t.throws(() => read(reader(hexText)), BadFrame, `${why}: ${hexText.slice(0, 24)}`)

t.test('W2 integers are read at the borders of their forms', async (t) => {
  for (const [value, hexText] of INTEGERS) {
    const from = reader(hexText)
    t.equal(from.uint(), value, hexText)
    t.ok(from.done)
  }
})

t.test('W2 wider forms than needed are read, since some encoders write them', async (t) => {
  for (const hexText of ['cc05', 'cd0005', 'ce00000005', 'cf0000000000000005']) {
    t.equal(reader(hexText).uint(), 5, hexText)
  }
})

// One of each kind that MessagePack knows, and what may pass for a number elsewhere.
const NOT_UNSIGNED = {
  'a negative fixint': 'ff',
  'the lowest negative fixint': 'e0',
  'an int8': 'd0ff',
  'a positive int8': 'd005',
  'an int16': 'd1ffff',
  'an int32': 'd2ffffffff',
  'a positive int32': 'd200000005',
  'an int64': 'd3ffffffffffffffff',
  'a positive int64': 'd30000000000000005',
  'a float32': 'ca40a00000',
  'a float64': 'cb4014000000000000',
  'a float64 of the time': 'cb4278bcfe56800000',
  NaN: 'cb7ff8000000000000',
  'minus zero': 'cb8000000000000000',
  Infinity: 'cb7ff0000000000000',
  '-Infinity': 'cbfff0000000000000',
  nil: 'c0',
  'what is never used': 'c1',
  false: 'c2',
  true: 'c3',
  'an empty string': 'a0',
  'a numeral': 'a135',
  bin8: 'c40105',
  'an array': '9105',
  'an empty map': '80',
}

t.test('W2 where an integer is due nothing else will do', async (t) => {
  for (const [why, hexText] of Object.entries(NOT_UNSIGNED)) {
    refuses(t, hexText, (from) => from.uint(), why)
    refuses(t, hexText, (from) => from.id64(), why)
  }
  refuses(t, 'cf0020000000000000', (from) => from.uint(), '2^53')
  refuses(t, 'cf0020000000000001', (from) => from.uint(), '2^53 + 1')
  refuses(t, 'cf8000000000000000', (from) => from.uint(), '2^63')
  refuses(t, 'cfffffffffffffffff', (from) => from.uint(), '2^64 − 1')
  t.equal(reader('ccff').uint(255), 255)
  refuses(t, 'cd0100', (from) => from.uint(255), 'past the limit of its field')
})

t.test('W2 a snowflake is read from nine bytes only', async (t) => {
  t.equal(reader('cf0000000000000000').id64(), 0n)
  t.equal(reader('cf0020000000000001').id64(), 2n ** 53n + 1n)
  t.equal(reader('cf7fffffffffffffff').id64(), 2n ** 63n - 1n)
  t.equal(reader('cfffffffffffffffff').id64(), 2n ** 64n - 1n)
  for (const hexText of ['05', 'cc05', 'cd0005', 'ce00000005']) {
    refuses(t, hexText, (from) => from.id64(), 'a shorter form')
  }
})

t.test('booleans and nil', async (t) => {
  t.equal(reader('c2').bool(), false)
  t.equal(reader('c3').bool(), true)
  for (const hexText of ['00', '01', 'c0', 'a0', '90'])
    refuses(t, hexText, (from) => from.bool(), 'no boolean')
  const from = reader('c0 01')
  t.equal(from.nil(), true)
  t.equal(from.nil(), false)
  t.equal(from.uint(), 1, 'what is no nil is left for the next')
  refuses(t, '', (from) => from.nil(), 'nothing there')
})

t.test('strings are valid UTF-8 of a bounded length', async (t) => {
  const forms: [string, string][] = [
    ['a0', ''],
    ['a3 61c3a9', 'aé'],
    ['d903 616263', 'abc'],
    ['da0003 616263', 'abc'],
    ['db00000003 616263', 'abc'],
    ['a4 f09f9880', '\u{1f600}'],
    ['a4 f48fbfbf', '\u{10ffff}'],
    ['a4 efbbbf61', '\ufeffa'],
    ['a4 00617f0a', '\0a\x7f\n'],
    [`d920${'efbbbf'}${'61'.repeat(29)}`, `\ufeff${'a'.repeat(29)}`],
  ]
  for (const [hexText, text] of forms) {
    t.equal(reader(hexText).str(64), text, hexText)
    const from = reader(hexText)
    t.equal(from.skipStr(64), Buffer.byteLength(text), 'bytes passed over')
    t.ok(from.done)
  }
  t.equal(reader('a3616263').str(3), 'abc')
  refuses(t, 'a3616263', (from) => from.str(2), 'one byte too long')
  refuses(t, 'a3616263', (from) => from.skipStr(2), 'one byte too long')
  for (const hexText of ['c0', '05', 'c403616263', 'c50003616263', '93616263', 'cc05', 'd5 6162']) {
    refuses(t, hexText, (from) => from.str(64), 'no string')
    refuses(t, hexText, (from) => from.skipStr(64), 'no string')
  }
})

const INVALID_UTF8 = {
  'a lone continuation': '80',
  'a cut sequence': 'c3',
  'a cut sequence before ASCII': 'c361',
  'overlong slash, 2 bytes': 'c0af',
  'overlong NUL, 2 bytes': 'c080',
  'overlong slash, 3 bytes': 'e080af',
  'overlong slash, 4 bytes': 'f08080af',
  'the high half of a surrogate pair': 'eda080',
  'the low half of a surrogate pair': 'edbfbf',
  'a pair of surrogates (CESU-8)': 'eda0bdedb880',
  'past U+10FFFF': 'f4908080',
  'a five byte sequence': 'f888808080',
  ff: 'ff',
  fe: 'fe',
}

t.test('invalid UTF-8 is refused wherever it stands', async (t) => {
  for (const [why, bad] of Object.entries(INVALID_UTF8)) {
    // Alone, after text, before text, and in a string that is too long for the short way.
    for (const content of [
      bad,
      `6161${bad}`,
      `${bad}6161`,
      `${'61'.repeat(40)}${bad}${'61'.repeat(40)}`,
    ]) {
      const size = (content.length / 2).toString(16).padStart(2, '0')
      refuses(t, `d9${size}${content}`, (from) => from.str(200), why)
      refuses(t, `d9${size}${content}`, (from) => from.skipStr(200), why)
      refuses(t, `d9${size}${content}`, (from) => from.skip(), why)
    }
  }
})

t.test('bytes are lent, not copied', async (t) => {
  for (const hexText of ['c403010203', 'c50003010203', 'c600000003010203']) {
    t.equal(hex(reader(hexText).bin(3)), '010203')
    refuses(t, hexText, (from) => from.bin(2), 'one too many')
  }
  const source = bytes('c402 0102 05')
  const view = new Reader(source).bin()
  source[2] = 9
  t.equal(hex(view), '0902')
  for (const hexText of ['a3616263', '93010203', 'c0', '05']) {
    refuses(t, hexText, (from) => from.bin(), 'no bytes')
  }
})

t.test('what a reader lends of a Buffer is no Buffer, whose slice would be no copy', async (t) => {
  const source = Buffer.from('c4020102', 'hex')
  const from = new Reader(source)
  const copies = [from.bin().slice(), from.span(2, 4).slice()]
  source.fill(9)
  for (const copy of copies) {
    t.equal(hex(copy), '0102')
    t.equal(copy.constructor, Uint8Array)
  }
})

t.test('arrays tell how many items follow', async (t) => {
  t.equal(reader('90').array(), 0)
  t.equal(reader('92 01 02').array(), 2)
  t.equal(reader('dc0002 01 02').array(), 2)
  t.equal(reader('dd00000002 01 02').array(), 2)
  t.equal(reader('92 01 02').array(2), 2)
  refuses(t, '93 01 02 03', (from) => from.array(2), 'too many')
  refuses(t, '93 01 02', (from) => from.array(), 'more than there are bytes')
  refuses(t, 'dc0003 01 02', (from) => from.array(), 'more than there are bytes')
  for (const hexText of ['80', '8101 02', 'de0001 01 02', 'df00000001 01 02', 'c0', '01', 'a101']) {
    refuses(t, hexText, (from) => from.array(), 'no array')
  }
})

t.test('a claimed length allocates nothing', async (t) => {
  const claims: [string, string][] = [
    ['array of 2^32 − 1', 'ddffffffff'],
    ['array of 2^31 − 1', 'dd7fffffff'],
    ['array of 65535', 'dcffff'],
    ['map of 2^32 − 1', 'dfffffffff'],
    ['map of 65535', 'deffff'],
    ['string of 2^31 − 1', 'db7fffffff'],
    ['string of 2^32 − 1', 'dbffffffff'],
    ['string of 65535', 'daffff'],
    ['bytes of 2^32 − 1', 'c6ffffffff'],
    ['bytes of 2^31 − 1', 'c67fffffff'],
    ['extension of 2^31 − 1', 'c97fffffff78'],
    ['extension of 65535', 'c8ffff78'],
    ['extension of 255', 'c7ff78'],
  ]
  const reads: ((from: Reader) => unknown)[] = [
    (from) => from.skip(),
    (from) => from.array(Number.MAX_SAFE_INTEGER),
    (from) => from.str(Number.MAX_SAFE_INTEGER),
    (from) => from.skipStr(Number.MAX_SAFE_INTEGER),
    (from) => from.bin(),
  ]
  const before = process.memoryUsage()
  for (const [why, head] of claims) {
    for (const read of reads) {
      for (const rest of ['', '00', '6161616161616161']) refuses(t, head + rest, read, why)
    }
  }
  const after = process.memoryUsage()
  // A single claim of 2^31 would be 128 times as much.
  t.ok(after.arrayBuffers - before.arrayBuffers < 2 ** 24)
  t.ok(after.heapUsed - before.heapUsed < 2 ** 26)
})

// What `skip` refuses is refused in fields that only a newer peer knows, too.
const OUTSIDE_THE_SUBSET = {
  'an empty map': '80',
  'a map': '8101 02',
  'a map with __proto__': `81 a9${hex(Buffer.from('__proto__'))} 80`,
  'a map with constructor': `81 ab${hex(Buffer.from('constructor'))} 01`,
  'map 16': 'de0001 01 02',
  'map 32': 'df00000001 01 02',
  fixext1: 'd4 05 00',
  fixext2: 'd5 05 0000',
  fixext4: 'd6 ff 00000000',
  fixext8: 'd7 ff 0000000000000000',
  fixext16: `d8 05 ${'00'.repeat(16)}`,
  'ext 8, a regular expression that takes for ever': `c7 0a 78 92a6${hex(Buffer.from('(a+)+$'))}a0`,
  'ext 16': 'c8 0001 05 00',
  'ext 32': 'c9 00000001 05 00',
  'a record definition': 'd4 72 40',
  'a self-reference': 'd6 69 00000001',
  'a pointer': 'd6 70 00000001',
  'what is never used': 'c1',
  'a float32': 'ca 40a00000',
  'a float64': 'cb 4014000000000000',
  NaN: 'cb 7ff8000000000000',
  'a negative fixint': 'ff',
  'an int8': 'd0 05',
  'an int16': 'd1 0005',
  'an int32': 'd2 00000005',
  'an int64': 'd3 0000000000000005',
}

t.test('what is outside the subset is refused at any depth', async (t) => {
  for (const [why, hexText] of Object.entries(OUTSIDE_THE_SUBSET)) {
    refuses(t, hexText, (from) => from.skip(), why)
    refuses(t, `93 01 ${hexText} 01`, (from) => from.skip(), why)
    refuses(t, `91 91 91 ${hexText}`, (from) => from.skip(), why)
  }
})

t.test('skip passes over one value of each kind of the subset', async (t) => {
  const values = [
    ...INTEGERS.map(([, hexText]) => hexText),
    'cfffffffffffffffff',
    'c0',
    'c2',
    'c3',
    'a0',
    'a3 61c3a9',
    `d928${'61'.repeat(40)}`,
    'c400',
    'c40105',
    'c5000105',
    'c60000000105',
    '90',
    '93 01 a161 c0',
    'dc0002 01 02',
    'dd00000002 01 02',
  ]
  for (const hexText of values) {
    const from = reader(hexText, '07')
    from.skip()
    t.equal(from.uint(), 7, hexText)
    t.ok(from.done)
  }
  const from = reader('01 02 03 04')
  from.skipRest(4, 1)
  t.equal(from.uint(), 4, 'skipRest passes over what is past the known')
  from.skipRest(3, 3)
  t.ok(from.done)
})

t.test('nesting is bounded, so that a stack is never exhausted', async (t) => {
  const deep = (levels: number) => `${'91'.repeat(levels)}01`
  const from = reader(deep(MAX_DEPTH - 1))
  from.skip(1)
  t.ok(from.done, 'a frame and seven levels in it')
  refuses(t, deep(MAX_DEPTH), (from) => from.skip(1), 'a level too deep')
  refuses(t, deep(MAX_DEPTH - 1), (from) => from.skip(2), 'the same one level further down')
  const million = new Uint8Array(1_000_000)
  for (const byte of [0x91, 0x81, 0x9f, 0x8f]) {
    t.throws(
      () => new Reader(million.fill(byte)).skip(),
      BadFrame,
      `a million of ${byte.toString(16)}`,
    )
  }
})

t.test('every cut of a valid value is refused', async (t) => {
  const whole = bytes(
    'dc0010 05 cc80 cd0100 ce00010000 cf0020000000000000 c0 c2 c3 a3616263 d903616263',
    'da0003616263 db00000003616263 c40105 c5000105 c60000000105 92 90 91 01',
  )
  new Reader(whole).skip()
  for (let size = 0; size < whole.length; size++) {
    t.throws(() => new Reader(whole.subarray(0, size)).skip(), BadFrame, `${size} bytes`)
  }
  for (const [, hexText] of INTEGERS) {
    for (let cut = 0; cut < hexText.length; cut += 2) {
      refuses(t, hexText.slice(0, cut), (from) => from.uint(), 'a cut integer')
    }
  }
})

t.test('a reader stays within its view', async (t) => {
  const around = bytes('a3616263 a3646566')
  const from = new Reader(around.subarray(4, 7))
  t.throws(() => from.str(8), BadFrame)
  const inner = new Reader(around.subarray(4))
  t.equal(inner.str(8), 'def')
  t.equal(inner.at, 4)
  t.equal(hex(inner.span(1, 3)), '6465')
})

t.test('any bytes either are read or are a BadFrame', async () => {
  const reads: ((from: Reader) => unknown)[] = [
    (from) => from.skip(),
    (from) => from.uint(),
    (from) => from.id64(),
    (from) => from.str(100),
    (from) => from.skipStr(100),
    (from) => from.bin(100),
    (from) => from.array(),
    (from) => from.bool(),
    (from) => from.nil(),
  ]
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc.anything({ withDate: true, withMap: true, withTypedArray: true }).map((value) => {
      try {
        return pack(value)
      } catch {
        return new Uint8Array(0)
      }
    }),
  )
  fc.assert(
    fc.property(noise, fc.constantFrom(...reads), (source, read) => {
      const from = new Reader(source)
      try {
        read(from)
      } catch (error) {
        assert.ok(error instanceof BadFrame, `${error}`)
      }
      assert.ok(from.at <= source.length)
    }),
    { numRuns: 2000 },
  )
})
