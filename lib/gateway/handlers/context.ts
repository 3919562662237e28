import type { Clock } from '../../clock.ts'
import type { CloseReason, Refusal } from '../../errors.ts'
import type { RoomId } from '../../ids.ts'
import type { ClientFrame, Frame } from '../../protocol/frames.ts'
import type { UserCommand } from '../../protocol/user-commands.ts'
import type { Admission } from '../admission.ts'
import type { GatewayConfig } from '../config.ts'
import type { Delivery } from '../delivery.ts'
import type { Session } from '../session.ts'

/** What the handlers of frames work with. */
export type Context = {
  readonly config: GatewayConfig
  readonly clock: Clock
  readonly admission: Admission
  readonly delivery: Delivery
  /** Sends a frame on to its room's actor, as its bytes. */
  readonly toRoom: (session: Session, room: RoomId, req: number, frame: Uint8Array) => void
  /** Sends a command to the session's user's actor. */
  readonly toUser: (session: Session, req: number, command: UserCommand) => void
  /** Asks the session's user's actor for the device's durable queue, or to take it away. */
  readonly toQueue: (session: Session, req: number, on: boolean) => void
  /** Entries up to `n` are safe with the device; false when it has no durable queue. */
  readonly queueAck: (session: Session, n: number) => boolean
  readonly refuse: (session: Session, req: number, refusal: Refusal) => void
  /** Ends a session whose state is closed already, with a last frame that says why. */
  readonly end: (session: Session, reason: CloseReason, last?: Uint8Array) => void
  /** Tells of an error that should not have been. */
  readonly failed: (error: unknown) => void
}

export type ClientFrameName = ClientFrame['name']

/** What a gateway does with a frame; `bytes` is the frame as it came, valid until the handler returns. */
export type Handler<N extends ClientFrameName> = (
  context: Context,
  session: Session,
  frame: Frame<N>,
  bytes: Uint8Array,
) => void

/** The handler of a frame that its room's actor answers. */
export const forRoom = (
  context: Context,
  session: Session,
  frame: { readonly req: number; readonly room: RoomId },
  bytes: Uint8Array,
): void => context.toRoom(session, frame.room, frame.req, bytes)
