/**
 * The connection as a total table: from every state, every event leads somewhere, if only to where it was.
 * connection.ts acts on entering a state; this file knows nothing but the arrows.
 */
export const STATES = {
  idle: 'Not connected yet',
  authorizing: 'Getting a token and the address of a gateway from the API',
  opening: 'Opening the WebSocket',
  greeting: 'Sent `hello`, waiting for `welcome`',
  open: 'In session',
  leaving: 'In session, but the gateway drains: about to connect again, elsewhere',
  waiting: 'Cut off; will connect again after a while',
  closed: 'Closed by the app, or by the server for good',
} as const
export type State = keyof typeof STATES

export const STATE_EVENTS = {
  connect: 'The app asks for a connection, or for no more waiting',
  ready: 'Token and address are at hand',
  opened: 'The WebSocket is open',
  welcomed: 'The server let us in',
  goaway: 'The gateway drains',
  expired: 'The token was not taken; another may be',
  lost: 'No way through for now: network, close code below 4500, temporary refusal, a deadline',
  rejected: 'The server does not want us back: close code from 4500, refusal for good',
  elapsed: 'The wait is over',
  close: 'The app closes',
} as const
export type StateEvent = keyof typeof STATE_EVENTS

const stay = <S extends State>(state: S): Record<StateEvent, State> => ({
  connect: state,
  ready: state,
  opened: state,
  welcomed: state,
  goaway: state,
  expired: state,
  lost: state,
  rejected: state,
  elapsed: state,
  close: 'closed',
})

export const TRANSITIONS: Record<State, Record<StateEvent, State>> = {
  idle: { ...stay('idle'), connect: 'authorizing' },
  authorizing: {
    ...stay('authorizing'),
    ready: 'opening',
    lost: 'waiting',
    rejected: 'closed',
  },
  opening: {
    ...stay('opening'),
    opened: 'greeting',
    expired: 'authorizing',
    lost: 'waiting',
    rejected: 'closed',
  },
  greeting: {
    ...stay('greeting'),
    welcomed: 'open',
    goaway: 'waiting',
    expired: 'authorizing',
    lost: 'waiting',
    rejected: 'closed',
  },
  open: {
    ...stay('open'),
    goaway: 'leaving',
    expired: 'authorizing',
    lost: 'waiting',
    rejected: 'closed',
  },
  leaving: {
    ...stay('leaving'),
    expired: 'authorizing',
    lost: 'waiting',
    elapsed: 'authorizing',
    rejected: 'closed',
  },
  waiting: { ...stay('waiting'), connect: 'authorizing', elapsed: 'authorizing' },
  closed: { ...stay('closed'), connect: 'authorizing' },
}

/** States in which frames can be sent. */
export const IN_SESSION: Record<State, boolean> = {
  idle: false,
  authorizing: false,
  opening: false,
  greeting: false,
  open: true,
  leaving: true,
  waiting: false,
  closed: false,
}
