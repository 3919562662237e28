/**
 * Every way in which Parley refuses. The keys are the type; `number` is what goes over the wire (only ever
 * added, never reused); `temporary` says whether the same request may succeed later.
 */
export const ERRORS = {
  // The frame itself
  bad_frame: {
    number: 1,
    temporary: false,
    text: 'The frame is not valid; see PROTOCOL.md for its layout.',
  },
  unknown_frame: {
    number: 2,
    temporary: false,
    text: 'This frame type is not known to this server.',
  },
  too_large: { number: 3, temporary: false, text: 'The content is larger than the server allows.' },
  // Who asks
  unauthorized: { number: 10, temporary: false, text: 'The token is not valid; log in again.' },
  token_expired: { number: 11, temporary: false, text: 'The token has expired; refresh it.' },
  device_removed: { number: 12, temporary: false, text: 'This device was removed; log in again.' },
  version: { number: 13, temporary: false, text: 'This protocol version is not supported.' },
  forbidden: { number: 14, temporary: false, text: 'You may not do this here.' },
  not_member: { number: 15, temporary: false, text: 'You are not a member of this room.' },
  blocked: { number: 16, temporary: false, text: 'The other side does not accept this.' },
  // What is asked for
  not_found: { number: 20, temporary: false, text: 'There is no such thing.' },
  exists: { number: 21, temporary: false, text: 'This exists already.' },
  bad_request: { number: 22, temporary: false, text: 'The request makes no sense as it stands.' },
  limit: { number: 23, temporary: false, text: 'A limit of this server would be passed.' },
  // Exactly once (contracts N)
  conflict: {
    number: 30,
    temporary: false,
    text: 'This command number was used with other content.',
  },
  settled: { number: 31, temporary: false, text: 'Decided long ago; look in the history.' },
  out_of_order: { number: 32, temporary: true, text: 'Send the command numbered in detail first.' },
  unknown_lineage: {
    number: 33,
    temporary: false,
    text: 'Look in the history, then start a new lineage.',
  },
  stale_join: {
    number: 34,
    temporary: false,
    text: 'This command is from before you joined; it never becomes valid.',
  },
  // For now
  overloaded: {
    number: 40,
    temporary: true,
    text: 'The server is too busy; try again after the given time.',
  },
  rate: { number: 41, temporary: true, text: 'Too many requests; try again after the given time.' },
  unavailable: {
    number: 42,
    temporary: true,
    text: 'A part of the server is not reachable for now.',
  },
  moved: { number: 43, temporary: true, text: 'The actor is served elsewhere now.' },
  internal: { number: 44, temporary: true, text: 'Something went wrong on the server.' },
} as const satisfies Record<string, { number: number; temporary: boolean; text: string }>

export type ErrorCode = keyof typeof ERRORS

const BY_NUMBER = new Map<number, ErrorCode>(
  (Object.keys(ERRORS) as ErrorCode[]).map((code) => [ERRORS[code].number, code]),
)

/** The code behind a wire number; `internal` when a newer server sent one that is not known here. */
export const errorByNumber = (number: number): ErrorCode => BY_NUMBER.get(number) ?? 'internal'

/** WebSocket close codes: 4000–4499 mean reconnect (and resume), 4500–4999 mean do not. */
export const CLOSE = {
  drain: { number: 4000, text: 'The gateway is going away; connect again.' },
  slow: { number: 4001, text: 'The client reads too slowly; connect again and catch up.' },
  idle: { number: 4002, text: 'No ping arrived in time; connect again.' },
  overloaded: { number: 4003, text: 'The gateway is full; connect again later or elsewhere.' },
  internal: { number: 4004, text: 'Something went wrong on the server; connect again.' },
  rate: { number: 4005, text: 'Far too many frames; connect again later.' },
  unauthorized: { number: 4500, text: 'The token is not valid; log in again.' },
  bad_frame: { number: 4501, text: 'The client sent something that is not a valid frame.' },
  too_large: { number: 4502, text: 'The client sent more than a message may hold.' },
  auth_timeout: { number: 4503, text: 'No hello arrived in time.' },
  device_removed: { number: 4504, text: 'This device was removed; log in again.' },
  version: { number: 4505, text: 'This protocol version is not supported.' },
  token_expired: { number: 4506, text: 'The token has expired; refresh it, then connect again.' },
  replaced: { number: 4507, text: 'The same outbox connected from elsewhere.' },
} as const satisfies Record<string, { number: number; text: string }>

export type CloseReason = keyof typeof CLOSE

/** True when a client that was closed with `code` should connect again by itself. */
export const mayReconnect = (code: number): boolean => code < 4500

/** A failed operation. Expected refusals are values (`Refusal`), never thrown. */
export class ParleyError extends Error {
  readonly code: ErrorCode
  readonly retryAfterMs: number
  constructor(
    code: ErrorCode,
    options: { detail?: string; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(options.detail ?? ERRORS[code].text, { cause: options.cause })
    this.name = 'ParleyError'
    this.code = code
    this.retryAfterMs = options.retryAfterMs ?? 0
  }
  get canRetry(): boolean {
    return ERRORS[this.code].temporary
  }
}

/** An expected refusal, as a value. */
export type Refusal = {
  readonly refused: ErrorCode
  readonly retryAfterMs?: number
  readonly detail?: string
}

export const refuse = (refused: ErrorCode, detail?: string, retryAfterMs?: number): Refusal => ({
  refused,
  ...(detail === undefined ? {} : { detail }),
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
})

export const assertNever = (value: never): never => {
  throw new Error(`unreachable: ${JSON.stringify(value)}`)
}
