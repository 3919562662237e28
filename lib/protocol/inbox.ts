/**
 * What an inbox batch on `inbox.<p>` holds: entries, one after the other, from many writers.
 */
import type { RoomId, UserId } from '../ids.ts'
import { BadFrame, Reader } from './reader.ts'
import type { Writer } from './writer.ts'

export type InboxEntry =
  /** A room as it is for a user (POINTER bytes); the higher version wins (contracts I1). */
  | {
      readonly kind: 'pointer'
      readonly user: UserId
      readonly room: RoomId
      readonly version: number
      readonly pointer: Uint8Array
    }
  /** An account record (account.ts bytes); the higher version wins (contracts I6). */
  | {
      readonly kind: 'account'
      readonly user: UserId
      readonly version: number
      readonly account: Uint8Array
    }
  /** An owner's own marker: what it reads past it came after its start (contracts L, owner start 4). */
  | { readonly kind: 'marker'; readonly nonce: string }

const KIND = { pointer: 1, account: 2, marker: 3 } as const

export const writePointerEntry = (
  writer: Writer,
  user: UserId,
  room: RoomId,
  version: number,
  pointer: Uint8Array,
): Writer => writer.array(5).uint(KIND.pointer).str(user).str(room).uint(version).bin(pointer)

export const writeAccountEntry = (
  writer: Writer,
  user: UserId,
  version: number,
  account: Uint8Array,
): Writer => writer.array(4).uint(KIND.account).str(user).uint(version).bin(account)

export const writeMarkerEntry = (writer: Writer, nonce: string): Writer =>
  writer.array(2).uint(KIND.marker).str(nonce)

/** Calls `each` for every entry; bytes are copies. @throws BadFrame */
export const readInbox = (bytes: Uint8Array, each: (entry: InboxEntry) => void): void => {
  const reader = new Reader(bytes)
  while (!reader.done) each(readEntry(reader))
}

const readEntry = (reader: Reader): InboxEntry => {
  const length = reader.array()
  const kind = reader.uint()
  switch (kind) {
    case KIND.pointer: {
      const user = reader.str(32) as UserId
      const room = reader.str(32) as RoomId
      const version = reader.uint()
      const pointer = reader.bin().slice()
      reader.skipRest(length, 5)
      return { kind: 'pointer', user, room, version, pointer }
    }
    case KIND.account: {
      const user = reader.str(32) as UserId
      const version = reader.uint()
      const account = reader.bin().slice()
      reader.skipRest(length, 4)
      return { kind: 'account', user, version, account }
    }
    case KIND.marker: {
      const nonce = reader.str(64)
      reader.skipRest(length, 2)
      return { kind: 'marker', nonce }
    }
    default:
      throw new BadFrame(`inbox entry of kind ${kind}: written by a newer version`)
  }
}
