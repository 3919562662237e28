/**
 * The life of a session as a total table: what each event does in each state. A session is
 * `opening` (connected, no hello), `verifying` (its token is looked at), `asking` (the user's actor decides),
 * `open`, and `closed`, which is final.
 */
export const STATES = ['opening', 'verifying', 'asking', 'open', 'closed'] as const
export type State = (typeof STATES)[number]

export const EVENTS = {
  hello: 'A hello frame came',
  ping: 'A ping frame came',
  request: 'Any other frame of a client came',
  malformed: 'Bytes came that are no client frame',
  verified: 'The token is valid',
  admitted: 'The user’s actor admits the device',
  refused: 'The verifier or the actor refuses',
  late: 'No hello within the time for it',
  silent: 'No frame for two heartbeats',
  overflow: 'More waits for the session than may',
  flood: 'Far more frames came than the rate allows',
  failed: 'A handler threw what it should not',
  kicked: 'The cluster ends the session',
  drain: 'The gateway goes away',
  gone: 'The socket is closed',
} as const satisfies Record<string, string>
export type SessionEvent = keyof typeof EVENTS

export type Action =
  /** Look at the token. */
  | 'verify'
  /** Ask the user's actor. */
  | 'ask'
  | 'welcome'
  | 'pong'
  /** Give the frame to its handler. */
  | 'handle'
  /** Tell the client to go elsewhere. */
  | 'goaway'
  /** End the session, with the reason of the event. */
  | 'close'
  /** Let go of all that the session held. */
  | 'forget'
  | 'ignore'

export type Next = { readonly state: State; readonly action: Action }

const to = (state: State, action: Action): Next => ({ state, action })
const CLOSE = to('closed', 'close')
const FORGET = to('closed', 'forget')
const NOTHING = to('closed', 'ignore')

/** What ends a session in every state that is not `closed`. */
const ENDS = {
  malformed: CLOSE,
  refused: CLOSE,
  silent: CLOSE,
  overflow: CLOSE,
  flood: CLOSE,
  failed: CLOSE,
  kicked: CLOSE,
  gone: FORGET,
} as const

export const TABLE: Record<State, Record<SessionEvent, Next>> = {
  opening: {
    ...ENDS,
    hello: to('verifying', 'verify'),
    ping: CLOSE,
    request: CLOSE,
    verified: to('opening', 'ignore'),
    admitted: to('opening', 'ignore'),
    late: CLOSE,
    drain: CLOSE,
  },
  verifying: {
    ...ENDS,
    late: to('verifying', 'ignore'),
    hello: CLOSE,
    ping: to('verifying', 'pong'),
    request: CLOSE,
    verified: to('asking', 'ask'),
    admitted: to('verifying', 'ignore'),
    drain: CLOSE,
  },
  asking: {
    ...ENDS,
    late: to('asking', 'ignore'),
    hello: CLOSE,
    ping: to('asking', 'pong'),
    request: CLOSE,
    verified: to('asking', 'ignore'),
    admitted: to('open', 'welcome'),
    drain: CLOSE,
  },
  open: {
    ...ENDS,
    hello: CLOSE,
    ping: to('open', 'pong'),
    request: to('open', 'handle'),
    verified: to('open', 'ignore'),
    admitted: to('open', 'ignore'),
    late: to('open', 'ignore'),
    refused: to('open', 'ignore'),
    drain: to('open', 'goaway'),
  },
  closed: {
    hello: NOTHING,
    ping: NOTHING,
    request: NOTHING,
    malformed: NOTHING,
    verified: NOTHING,
    admitted: NOTHING,
    refused: NOTHING,
    late: NOTHING,
    silent: NOTHING,
    overflow: NOTHING,
    flood: NOTHING,
    failed: NOTHING,
    kicked: NOTHING,
    drain: NOTHING,
    // The socket of a session that was ended says so too; only then is all let go.
    gone: FORGET,
  },
}
