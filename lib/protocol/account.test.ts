import t from 'tap'
import type { DeviceId, UserId } from '../ids.ts'
import {
  type AccountRecord,
  admission,
  decodeAccount,
  encodeAccount,
  readAccount,
  writeAccount,
} from './account.ts'
import { BadFrame, Reader } from './reader.ts'
import { Writer } from './writer.ts'

const user = (text: string) => text as UserId
const device = (text: string) => text as DeviceId

const record: AccountRecord = {
  user: user('uAlice'),
  version: 2 ** 33,
  exists: true,
  tokenGeneration: 3,
  devices: [
    { device: device('vPhone'), removed: false },
    { device: device('vLost'), removed: true },
  ],
  policy: 0,
  handle: 'alice',
  blocked: [user('uMallory')],
}

t.test('an account record survives the wire', async (t) => {
  t.same(decodeAccount(encodeAccount(record)), record)
  const empty = { ...record, exists: false, devices: [], blocked: [] }
  t.same(decodeAccount(encodeAccount(empty)), empty)
})

t.test('the layout is fixed', async (t) => {
  const small = { ...record, version: 1, devices: [record.devices[0]!], blocked: [] }
  t.equal(
    Buffer.from(encodeAccount(small)).toString('hex'),
    `98a6${Buffer.from('uAlice').toString('hex')}01c303` +
      `9192a6${Buffer.from('vPhone').toString('hex')}c2` +
      `00a5${Buffer.from('alice').toString('hex')}90`,
  )
})

t.test('fields of newer servers are passed over', async (t) => {
  const bytes = encodeAccount(record)
  const longer = new Writer().array(10).raw(bytes.subarray(1)).str('more').array(1).uint(7).take()
  const reader = new Reader(longer)
  t.same(readAccount(reader), record)
  t.ok(reader.done)
})

t.test('records can be read one after the other', async (t) => {
  const writer = new Writer()
  writeAccount(writer, record)
  writeAccount(writer, { ...record, version: 9 })
  const reader = new Reader(writer.take())
  t.equal(readAccount(reader).version, record.version)
  t.equal(readAccount(reader).version, 9)
})

t.test('what is not a record is refused at every length', async (t) => {
  const bytes = encodeAccount(record)
  for (let length = 0; length < bytes.length; length++) {
    t.throws(() => decodeAccount(bytes.subarray(0, length)), BadFrame, `${length} bytes`)
  }
  t.throws(() => decodeAccount(encodeAccount({ ...record, user: user('*') })), BadFrame)
  t.throws(() => decodeAccount(encodeAccount({ ...record, blocked: [user('vX')] })), BadFrame)
  t.throws(
    () =>
      decodeAccount(
        encodeAccount({ ...record, devices: [{ device: device('>'), removed: true }] }),
      ),
    BadFrame,
  )
})

t.test('I6 admission: the device set and the token generation decide', async (t) => {
  t.equal(admission(record, device('vPhone'), 3), undefined)
  t.equal(admission(record, device('vLost'), 3), 'device_removed')
  t.equal(admission(record, device('vLost'), 2), 'device_removed')
  t.equal(admission(record, device('vPhone'), 2), 'unauthorized')
  t.equal(admission({ ...record, exists: false }, device('vPhone'), 3), 'unauthorized')
  // A device that logged in a moment ago may not be listed yet: its token is signed, and it was not removed.
  t.equal(admission(record, device('vNew'), 3), undefined)
  t.equal(admission(record, device('vPhone'), 4), 'unavailable', 'the record is behind the token')
  t.equal(admission(undefined, device('vPhone'), 1), 'unavailable', 'no record yet')
})
