/**
 * Between gateways and hosts: one NATS message carries all that one side has for the other in a loop turn.
 * An envelope is its sender's id, then items to the end. These are trusted, versioned by KV `cluster`.
 *
 *   gateway → host  `h.<incarnation>`:  commands, lost handles, beats
 *   host → gateway  `gw.<g>`:           replies by token, frames by session handle, kicks
 */
import type { DeviceId, GatewayId, Incarnation, RoomId, UserId } from '../ids.ts'
import { BadFrame, Reader } from './reader.ts'
import type { Writer } from './writer.ts'

/** An envelope is flushed at the latest when it holds this much; NATS takes 1 MiB. */
export const ENVELOPE_BYTES = 256 * 1024

/** A session on its gateway: slot + generation × 2^20 (contracts R1). */
export type Handle = number
/** A gateway's number for an outstanding command; `attempt` rises with each resend of it. */
export type Token = number

const TO_HOST = { room: 1, user: 2, lost: 3, beat: 4, routes: 5 } as const
const TO_GATEWAY = { final: 1, later: 2, moved: 3, deliver: 4, pointers: 5, kick: 6 } as const

/** Who sends, stamped by the gateway. */
export type Stamp = {
  readonly handle: Handle
  readonly user: UserId
  readonly device: DeviceId
}

export type ToHost =
  /** A client's frame for a room's actor, as its bytes. */
  | ({
      readonly kind: 'room'
      readonly token: Token
      readonly attempt: number
      readonly frame: Uint8Array
    } & Stamp)
  /** A command for the sender's own actor (user-commands.ts). */
  | ({
      readonly kind: 'user'
      readonly token: Token
      readonly attempt: number
      readonly frame: Uint8Array
    } & Stamp)
  /** A delivery met a session that is gone (contracts R1). */
  | {
      readonly kind: 'lost'
      readonly handle: Handle
      readonly room: RoomId
      readonly seq: number
      readonly user: UserId | null
    }
  /** The session lives and its user's pointers up to `position` were handed to it (contracts R3). */
  | ({ readonly kind: 'beat'; readonly generation: number; readonly position: number } & Stamp)
  /** From another host: a user's sessions changed while a lease on them lasts (contracts R2). */
  | {
      readonly kind: 'routes'
      readonly user: UserId
      readonly sessions: readonly { readonly gateway: GatewayId; readonly handle: Handle }[]
    }

export const writeRoomCommand = (
  writer: Writer,
  kind: 'room' | 'user',
  token: Token,
  attempt: number,
  stamp: Stamp,
  frame: Uint8Array,
): void => {
  writer.uint(TO_HOST[kind]).uint(token).uint(attempt)
  writer.uint(stamp.handle).str(stamp.user).str(stamp.device).bin(frame)
}

export const writeLost = (writer: Writer, handle: Handle, room: RoomId, seq: number): void => {
  writer.uint(TO_HOST.lost).uint(handle).str(room).uint(seq)
}

export const writeBeat = (
  writer: Writer,
  stamp: Stamp,
  generation: number,
  position: number,
): void => {
  writer.uint(TO_HOST.beat).uint(stamp.handle).str(stamp.user).str(stamp.device)
  writer.uint(generation).uint(position)
}

export const writeRoutes = (
  writer: Writer,
  user: UserId,
  sessions: readonly { readonly gateway: GatewayId; readonly handle: Handle }[],
): void => {
  writer.uint(TO_HOST.routes).str(user).uint(sessions.length)
  for (const { gateway, handle } of sessions) writer.str(gateway).uint(handle)
}

/** Reads an envelope to a host: `each` gets every item; frames are views of `bytes`. @throws BadFrame */
export const readToHost = (
  bytes: Uint8Array,
  each: (gateway: GatewayId, item: ToHost) => void,
): void => {
  const reader = new Reader(bytes)
  const gateway = reader.str(32) as GatewayId
  while (!reader.done) each(gateway, readHostItem(reader))
}

const readHostItem = (reader: Reader): ToHost => {
  const kind = reader.uint()
  switch (kind) {
    case TO_HOST.room:
    case TO_HOST.user: {
      const token = reader.uint()
      const attempt = reader.uint()
      const handle = reader.uint()
      const user = reader.str(32) as UserId
      const device = reader.str(32) as DeviceId
      const frame = reader.bin()
      return {
        kind: kind === TO_HOST.room ? 'room' : 'user',
        token,
        attempt,
        handle,
        user,
        device,
        frame,
      }
    }
    case TO_HOST.lost:
      return {
        kind: 'lost',
        handle: reader.uint(),
        room: reader.str(32) as RoomId,
        seq: reader.uint(),
        user: null,
      }
    case TO_HOST.beat:
      return {
        kind: 'beat',
        handle: reader.uint(),
        user: reader.str(32) as UserId,
        device: reader.str(32) as DeviceId,
        generation: reader.uint(),
        position: reader.uint(),
      }
    case TO_HOST.routes: {
      const user = reader.str(32) as UserId
      const sessions: { gateway: GatewayId; handle: Handle }[] = []
      for (let n = reader.uint(); n > 0; n--) {
        sessions.push({ gateway: reader.str(32) as GatewayId, handle: reader.uint() })
      }
      return { kind: 'routes', user, sessions }
    }
    default:
      throw new BadFrame(`envelope item ${kind}`)
  }
}

export type ToGateway =
  /** Decided: the frame goes to the session of the token, which is done with. */
  | {
      readonly kind: 'final'
      readonly token: Token
      readonly attempt: number
      readonly frame: Uint8Array
    }
  /** Refused for now; a gateway that has sent the command again since ignores it (contracts O4). */
  | {
      readonly kind: 'later'
      readonly token: Token
      readonly attempt: number
      readonly frame: Uint8Array
    }
  /** Not served here (any more): hold the partition, find the owner, send again in order (contracts O4). */
  | { readonly kind: 'moved'; readonly token: Token; readonly attempt: number }
  /** A frame for sessions. */
  | { readonly kind: 'deliver'; readonly frame: Uint8Array; readonly handles: readonly Handle[] }
  /** A `changes` push for a user's sessions, which brings them to inbox position `position`. */
  | {
      readonly kind: 'pointers'
      readonly position: number
      readonly frame: Uint8Array
      readonly handles: readonly Handle[]
    }
  /** Close these sessions with a close code. */
  | { readonly kind: 'kick'; readonly code: number; readonly handles: readonly Handle[] }

export const writeReply = (
  writer: Writer,
  kind: 'final' | 'later',
  token: Token,
  attempt: number,
  frame: Uint8Array,
): void => {
  writer.uint(TO_GATEWAY[kind]).uint(token).uint(attempt).bin(frame)
}

export const writeMoved = (writer: Writer, token: Token, attempt: number): void => {
  writer.uint(TO_GATEWAY.moved).uint(token).uint(attempt)
}

const writeHandles = (writer: Writer, handles: readonly Handle[]): void => {
  writer.uint(handles.length)
  for (const handle of handles) writer.uint(handle)
}

export const writeDeliver = (
  writer: Writer,
  frame: Uint8Array,
  handles: readonly Handle[],
): void => {
  writer.uint(TO_GATEWAY.deliver).bin(frame)
  writeHandles(writer, handles)
}

export const writePointers = (
  writer: Writer,
  position: number,
  frame: Uint8Array,
  handles: readonly Handle[],
): void => {
  writer.uint(TO_GATEWAY.pointers).uint(position).bin(frame)
  writeHandles(writer, handles)
}

export const writeKick = (writer: Writer, code: number, handles: readonly Handle[]): void => {
  writer.uint(TO_GATEWAY.kick).uint(code)
  writeHandles(writer, handles)
}

/** What a gateway does with each kind of item; called in order, without an object per item. */
export type GatewaySink = {
  final(token: Token, attempt: number, frame: Uint8Array): void
  later(token: Token, attempt: number, frame: Uint8Array): void
  moved(token: Token, attempt: number): void
  deliver(handle: Handle, frame: Uint8Array): void
  pointers(handle: Handle, frame: Uint8Array, position: number): void
  kick(handle: Handle, code: number): void
}

/** Reads an envelope to a gateway; frames are views of `bytes`. @throws BadFrame */
export const readToGateway = (
  bytes: Uint8Array,
  sink: (host: Incarnation) => GatewaySink,
): void => {
  const reader = new Reader(bytes)
  const to = sink(reader.str(32) as Incarnation)
  while (!reader.done) {
    const kind = reader.uint()
    switch (kind) {
      case TO_GATEWAY.final:
        to.final(reader.uint(), reader.uint(), reader.bin())
        break
      case TO_GATEWAY.later:
        to.later(reader.uint(), reader.uint(), reader.bin())
        break
      case TO_GATEWAY.moved:
        to.moved(reader.uint(), reader.uint())
        break
      case TO_GATEWAY.deliver: {
        const frame = reader.bin()
        for (let n = reader.uint(); n > 0; n--) to.deliver(reader.uint(), frame)
        break
      }
      case TO_GATEWAY.pointers: {
        const position = reader.uint()
        const frame = reader.bin()
        for (let n = reader.uint(); n > 0; n--) to.pointers(reader.uint(), frame, position)
        break
      }
      case TO_GATEWAY.kick: {
        const code = reader.uint()
        for (let n = reader.uint(); n > 0; n--) to.kick(reader.uint(), code)
        break
      }
      default:
        throw new BadFrame(`envelope item ${kind}`)
    }
  }
}

/**
 * A frame on `live.<uid>`: for all sessions of the user but the one that sent it. Concatenated items of
 * (gateway id or nil, handle, frame).
 */
export const writeLive = (
  writer: Writer,
  except: { gateway: GatewayId; handle: Handle } | undefined,
  frame: Uint8Array,
): Writer => {
  if (except === undefined) writer.nil().uint(0)
  else writer.str(except.gateway).uint(except.handle)
  return writer.bin(frame)
}

export const readLive = (
  bytes: Uint8Array,
  each: (gateway: GatewayId | undefined, handle: Handle, frame: Uint8Array) => void,
): void => {
  const reader = new Reader(bytes)
  while (!reader.done) {
    const gateway = reader.nil() ? undefined : (reader.str(32) as GatewayId)
    each(gateway, reader.uint(), reader.bin())
  }
}
