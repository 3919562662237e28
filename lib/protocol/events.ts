/** The kinds of events: what happened in a room, numbered for good. Only some make a room unread (`counts`). */
export const EVENT_KINDS = {
  created: {
    number: 0,
    counts: false,
    body: '[title, openHistory, [[user, role] …]]',
    doc: 'The room was made with these members',
  },
  message: { number: 1, counts: true, body: '[text]', doc: 'A message' },
  added: {
    number: 2,
    counts: false,
    body: '[[user …]]',
    doc: 'These users joined; visible to them from here on, or from the start with open history',
  },
  removed: {
    number: 3,
    counts: false,
    body: '[user]',
    doc: 'This user was removed; the last event they see',
  },
  left: {
    number: 4,
    counts: false,
    body: '[user]',
    doc: 'This user left; the last event they see',
  },
  role: { number: 5, counts: false, body: '[user, role]', doc: 'This user’s role changed' },
} as const satisfies Record<string, { number: number; counts: boolean; body: string; doc: string }>
export type EventKind = keyof typeof EVENT_KINDS
