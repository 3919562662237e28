import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { fieldValues, uints, values } from '../testing/frames.ts'
import { encodeFrame, readValue, writeValue } from './codec.ts'
import type { Wire } from './fields.ts'
import { BadFrame, Reader } from './reader.ts'
import {
  decodeAdmitted,
  decodeUserCommand,
  encodeAdmitted,
  encodeUserCommand,
  ROUTES,
  USER_COMMANDS,
  type UserCommand,
  type UserCommandName,
} from './user-commands.ts'
import { Writer } from './writer.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const names = Object.keys(USER_COMMANDS) as UserCommandName[]

const commands = fc.oneof(
  ...names.map((name) => {
    const fields = USER_COMMANDS[name].fields as unknown as Record<string, Wire>
    return fieldValues({ wire: 'record', fields }).map(
      (value) => ({ name, ...(value as object) }) as UserCommand,
    )
  }),
)

t.test('every command of a user comes back as it went', async () => {
  fc.assert(
    fc.property(commands, (command) => {
      assert.deepEqual(decodeUserCommand(encodeUserCommand(command)), command)
    }),
  )
})

t.test('types are unique', async (t) => {
  t.equal(new Set(names.map((name) => USER_COMMANDS[name].type)).size, names.length)
})

t.test('fields of a newer gateway are passed over', async () => {
  fc.assert(
    fc.property(commands, values(2), (command, extra) => {
      const bytes = encodeUserCommand(command)
      const longer = new Writer()
        .array((bytes[0]! & 15) + 1)
        .raw(bytes.subarray(1))
        .raw(extra)
      assert.deepEqual(decodeUserCommand(longer.take()), command)
    }),
  )
})

t.test('what is no command is a BadFrame', async (t) => {
  t.throws(() => decodeUserCommand(new Writer().array(1).uint(99).take()), /user command 99/)
  t.throws(() => decodeUserCommand(new Uint8Array(0)), BadFrame)
  for (const name of names) {
    const count = Object.keys(USER_COMMANDS[name].fields).length
    if (count === 0) continue
    const bare = new Writer().array(1).uint(USER_COMMANDS[name].type).take()
    t.throws(() => decodeUserCommand(bare), /is missing/, name)
  }
  fc.assert(
    fc.property(commands, fc.nat(), uints(255), (command, at, byte) => {
      const bytes = encodeUserCommand(command)
      bytes[at % bytes.length] = byte
      try {
        decodeUserCommand(bytes)
      } catch (error) {
        assert.ok(error instanceof BadFrame, `${error}`)
      }
    }),
    { numRuns: 1000 },
  )
})

t.test('an admission is its lineage and bytes that go on unread', async (t) => {
  const rest = encodeFrame('ping', { req: 300 })
  const read = decodeAdmitted(encodeAdmitted({ lineage: 2 ** 52, queue: true, rest }))
  t.equal(read.lineage, 2 ** 52)
  t.equal(read.queue, true)
  t.equal(hex(read.rest), hex(rest))
  const none = { lineage: 1, queue: false, rest: new Uint8Array(0) }
  t.match(decodeAdmitted(encodeAdmitted(none)), { queue: false, rest: { length: 0 } })
})

t.test('routes come back as they went', async () => {
  const field = ROUTES as unknown as Wire
  fc.assert(
    fc.property(fieldValues(field), (routes) => {
      const writer = new Writer()
      writeValue(writer, field, routes)
      assert.deepEqual(readValue(new Reader(writer.take()), field), routes)
    }),
  )
})
