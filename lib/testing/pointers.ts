/** Pointers, account records and inbox messages for tests. */
import type { DeviceId, RoomId, UserId } from '../ids.ts'
import { type AccountRecord, encodeAccount } from '../protocol/account.ts'
import { writeValue } from '../protocol/codec.ts'
import type { Wire } from '../protocol/fields.ts'
import type { Pointer } from '../protocol/frames.ts'
import { writeAccountEntry, writeMarkerEntry, writePointerEntry } from '../protocol/inbox.ts'
import { POINTER } from '../protocol/pointer.ts'
import { Writer } from '../protocol/writer.ts'

/** A group's id of the right length. */
export const roomId = (name: string | number): RoomId => `gRoom_${name}_${'x'.repeat(8)}` as RoomId

export const pointerOf = (room: RoomId, version: number, more: Partial<Pointer> = {}): Pointer => ({
  room,
  version,
  head: version,
  ord: version,
  time: 1_800_000_000_000,
  read: 0,
  readOrd: 0,
  from: 1,
  join: 1,
  role: 0,
  flags: 0,
  title: 'A room',
  sender: null,
  preview: null,
  ...more,
})

export const pointerBytes = (pointer: Pointer): Uint8Array => {
  const writer = new Writer()
  writeValue(writer, POINTER as unknown as Wire, pointer)
  return writer.take()
}

export const accountOf = (
  user: UserId,
  version: number,
  more: Partial<AccountRecord> = {},
): AccountRecord => ({
  user,
  version,
  exists: true,
  tokenGeneration: 1,
  devices: [],
  policy: 0,
  handle: 'somebody',
  blocked: [],
  ...more,
})

export const removed = (device: DeviceId) => ({ device, removed: true })

type Item =
  | { readonly user: UserId; readonly pointer: Pointer }
  | { readonly account: AccountRecord }
  | { readonly marker: string }

/** The bytes of a message on `inbox.<p>`. */
export const inboxMessage = (...items: readonly Item[]): Uint8Array => {
  const writer = new Writer()
  for (const item of items) {
    if ('marker' in item) writeMarkerEntry(writer, item.marker)
    else if ('account' in item) {
      const { user, version } = item.account
      writeAccountEntry(writer, user, version, encodeAccount(item.account))
    } else {
      const { room, version } = item.pointer
      writePointerEntry(writer, item.user, room, version, pointerBytes(item.pointer))
    }
  }
  return writer.take()
}
