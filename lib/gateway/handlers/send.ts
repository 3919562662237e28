import { refuse } from '../../errors.ts'
import type { RoomId } from '../../ids.ts'
import type { Session } from '../session.ts'
import type { Context, Handler } from './context.ts'

/** The hot way: what is checked of a send, without the text as a string. */
export const sendBytes = (
  context: Context,
  session: Session,
  room: RoomId,
  req: number,
  textBytes: number,
  bytes: Uint8Array,
): void => {
  if (textBytes > context.config.textBytes) {
    context.refuse(
      session,
      req,
      refuse('too_large', `Texts hold ${context.config.textBytes} bytes.`),
    )
  } else context.toRoom(session, room, req, bytes)
}

export const send: Handler<'send'> = (context, session, frame, bytes) =>
  sendBytes(context, session, frame.room, frame.req, Buffer.byteLength(frame.text), bytes)
