import fc from 'fast-check'
import t from 'tap'
import { parseHandle, parseName, parsePassword } from './text.ts'

t.test('handles fold to lower case and to nothing else', async (t) => {
  t.equal(parseHandle('Alice'), 'alice')
  t.equal(parseHandle('a_1.b'), 'a_1.b')
  t.equal(parseHandle('abc'), 'abc')
  t.equal(parseHandle('x'.repeat(30)), 'x'.repeat(30))
  const bad = [
    '',
    'ab',
    'x'.repeat(31),
    'a b',
    'a-b',
    'a@b',
    'älice',
    'abc\n',
    '\0abc',
    'a*c',
    'ab>',
  ]
  // KELVIN SIGN folds to k, LATIN SMALL LETTER LONG S to s, full width to nothing of ours.
  for (const text of [...bad, 'mar\u212a', 'alice\u017f', '\uff41\uff42\uff43']) {
    t.equal(parseHandle(text), undefined, JSON.stringify(text))
  }
})

t.test('a handle, once parsed, parses to itself', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
      const handle = parseHandle(text)
      return handle === undefined || parseHandle(handle) === handle
    }),
  )
  t.pass()
})

t.test('names keep their letters, of any script, and lose the space around them', async (t) => {
  t.equal(parseName('  Ann  '), 'Ann')
  t.equal(parseName('שלום 👩‍👩‍👧 日本'), 'שלום 👩‍👩‍👧 日本')
  t.equal(parseName('A\u030a'), '\u00c5', 'composed')
  t.equal(parseName('x'.repeat(256)), 'x'.repeat(256))
  const bad = ['', '   ', '\u3000', 'x'.repeat(257), '語'.repeat(86), 'a\0b', 'a\nb', 'a\u007fb']
  for (const text of [
    ...bad,
    'a\u202eb',
    'a\u2066b',
    'a\u2028b',
    'a\ufeffb',
    '\ud800',
    'a\udc00',
  ]) {
    // Not JSON: a raw U+2028 would break the line of the report.
    t.equal(parseName(text), undefined, encodeURIComponent(text.toWellFormed()).slice(0, 40))
  }
})

t.test('passwords have 8 to 256 bytes, spaces and all', async (t) => {
  t.equal(parsePassword('1234567'), undefined)
  t.equal(parsePassword('12345678'), '12345678')
  t.equal(parsePassword('  spaces  '), '  spaces  ')
  t.equal(parsePassword('日本語'), '日本語', 'nine bytes')
  t.equal(parsePassword('x'.repeat(256)), 'x'.repeat(256))
  t.equal(parsePassword('x'.repeat(257)), undefined)
  t.equal(parsePassword('語'.repeat(86)), undefined)
  t.equal(parsePassword('\ud800 1234567890'), undefined)
  t.equal(parsePassword('A\u030angstro\u0308m'), '\u00c5ngstr\u00f6m', 'the same on every keyboard')
})
