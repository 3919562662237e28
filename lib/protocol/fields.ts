/**
 * What a field of a frame may hold: typebox schemas whose `wire` keyword says how they are written. The codec walks
 * them; TypeScript types and the tables of PROTOCOL.md come from them too.
 */
import { Type } from 'typebox'
import type { RoomId, UserId } from '../ids.ts'

/** A counter, position, length or time in ms: 0 … max, smallest unsigned form. */
export const uint = (doc: string, max: number = Number.MAX_SAFE_INTEGER) =>
  Type.Unsafe<number>({ type: 'integer', minimum: 0, maximum: max, description: doc, wire: 'uint' })

/** A snowflake: always eight bytes (`cf`); a decimal string in the SDK. */
export const id64 = (doc: string) =>
  Type.Unsafe<bigint>({ type: 'string', description: doc, wire: 'id64' })

/** UTF-8 text of at most `max` bytes. */
export const str = (doc: string, max: number) =>
  Type.Unsafe<string>({ type: 'string', description: doc, wire: 'str', max })

export const bool = (doc: string) =>
  Type.Unsafe<boolean>({ type: 'boolean', description: doc, wire: 'bool' })

/** A room id, parsed. */
export const room = (doc: string) =>
  Type.Unsafe<RoomId>({ type: 'string', description: doc, wire: 'room' })

/** A user id, parsed. */
export const user = (doc: string) =>
  Type.Unsafe<UserId>({ type: 'string', description: doc, wire: 'user' })

/** Any MessagePack value that the reader admits, kept as its bytes. */
export const raw = (doc: string) => Type.Unsafe<Uint8Array>({ description: doc, wire: 'raw' })

export const nullable = <T>(inner: Field<T>) =>
  Type.Unsafe<T | null>({ ...inner, wire: 'nullable', inner })

/** At most `max` items. */
export const list = <T>(doc: string, inner: Field<T>, max: number) =>
  Type.Unsafe<readonly T[]>({ type: 'array', description: doc, wire: 'list', inner, max })

/** A nested array of fixed layout; later versions may append fields, which are ignored. */
export const record = <T extends Record<string, Field<unknown>>>(doc: string, fields: T) =>
  Type.Unsafe<Fields<T>>({ type: 'object', description: doc, wire: 'record', fields })

export type Field<T> = ReturnType<typeof Type.Unsafe<T>>
export type ValueOf<F> = F extends Field<infer T> ? T : never
export type Fields<T extends Record<string, Field<unknown>>> = {
  readonly [K in keyof T]: ValueOf<T[K]>
}

/** How the codec sees a field. */
export type Wire =
  | { wire: 'uint'; maximum: number }
  | { wire: 'id64' | 'bool' | 'room' | 'user' | 'raw' }
  | { wire: 'str'; max: number }
  | { wire: 'nullable'; inner: Wire }
  | { wire: 'list'; inner: Wire; max: number }
  | { wire: 'record'; fields: Record<string, Wire> }
