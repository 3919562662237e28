/** Answers of room actors as frames to whoever asked. */
import { ERRORS, type Refusal } from '../errors.ts'
import { encodeFrame } from '../protocol/codec.ts'
import { writeAck } from '../protocol/hot.ts'
import { Writer } from '../protocol/writer.ts'
import type { Answer } from './behavior.ts'
import type { Origin } from './outbound.ts'

const scratch = new Writer(64)

export const errorFrame = (req: number, refusal: Refusal): Uint8Array => {
  const { number, temporary, text } = ERRORS[refusal.refused]
  return encodeFrame('error', {
    req,
    code: number,
    temporary,
    retryAfter: refusal.retryAfterMs ?? (temporary ? 100 : 0),
    detail: refusal.detail ?? text,
  })
}

export const sendRefusal = (origin: Origin, req: number, refusal: Refusal): void => {
  const frame = errorFrame(req, refusal)
  if (ERRORS[refusal.refused].temporary) origin.outlet.later(origin.token, origin.attempt, frame)
  else origin.outlet.final(origin.token, origin.attempt, frame)
}

/** Sends every answer but ranges (pages are read first) and permits (which are no answers yet). */
export const sendAnswer = (
  origin: Origin,
  req: number,
  answer: Exclude<Answer, { kind: 'range' | 'permit' }>,
): void => {
  const { outlet, token, attempt } = origin
  switch (answer.kind) {
    case 'ack':
      writeAck(scratch.reset(), req, answer.seq, answer.id, answer.time)
      outlet.final(token, attempt, scratch.view())
      break
    case 'ok':
      outlet.final(token, attempt, encodeFrame('ok', { req }))
      break
    case 'info':
      outlet.final(token, attempt, encodeFrame('info', { req, ...answer.info }))
      break
    case 'refused':
      sendRefusal(origin, req, answer.refusal)
      break
  }
}
