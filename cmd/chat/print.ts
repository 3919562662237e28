/** How events and rooms are printed: for a person, or one JSON object a line. */
import type { RoomEvent, Summary } from '../../lib/client/index.ts'
import type { Names } from './names.ts'

/** Text from strangers must not move a terminal's cursor or change its colours. */
export const harmless = (text: string): string =>
  text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

export const clockOf = (time: number, now: number): string => {
  const at = new Date(time)
  const two = (value: number) => String(value).padStart(2, '0')
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
  if (at.toDateString() === new Date(now).toDateString()) return clock
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`
}

const said = (event: RoomEvent, names: Names): string => {
  const list = (users: readonly Parameters<Names['of']>[0][]) =>
    users.map((user) => names.of(user)).join(', ')
  switch (event.kind) {
    case 'message':
      return harmless(event.text)
    case 'created':
      return `* made this room with ${list(event.members.map(({ user }) => user))}`
    case 'added':
      return `* added ${list(event.users)}`
    case 'removed':
      return `* removed ${names.of(event.user)}`
    case 'left':
      return '* left'
    case 'role':
      return `* made ${names.of(event.user)} ${event.role}`
    case 'unknown':
      return '* did something that this version cannot show'
  }
}

export const humanEvent = (event: RoomEvent, names: Names, now: number): string =>
  `${clockOf(event.time, now)} ${names.of(event.sender)}: ${said(event, names)}`

/** `room seq id time sender text`; of what is no message `kind` and what belongs to it instead of the text. */
export const jsonEvent = (event: RoomEvent): string => {
  const { room, seq, id, time, sender, ord: _, ...rest } = event
  if (rest.kind === 'message') {
    return JSON.stringify({ room, seq, id, time, sender, text: rest.text })
  }
  return JSON.stringify({ room, seq, id, time, sender, ...rest })
}

export const humanRoom = (summary: Summary, names: Names, now: number): string => {
  const { room, peer, title, unread, left, preview, time, sender } = summary
  const name = peer === undefined ? harmless(title) : `@${names.of(peer)}`
  const by = sender === undefined ? '' : `${names.of(sender)}: `
  const news = preview === undefined ? '' : `  ${by}${harmless(preview.split('\n', 1)[0] ?? '')}`
  const mark = left ? '  (left)' : unread > 0 ? `  (${unread} new)` : ''
  return `${room}  ${name}${mark}  ${clockOf(time, now)}${news}`
}

export const jsonRoom = (summary: Summary): string => {
  const { room, kind, title, peer, head, time, unread, read, role, left } = summary
  return JSON.stringify({ room, kind, title, peer, head, time, unread, read, role, left })
}

/** Everybody that a printed event names. */
export const usersIn = (event: RoomEvent): Parameters<Names['of']>[0][] => {
  switch (event.kind) {
    case 'created':
      return [event.sender, ...event.members.map(({ user }) => user)]
    case 'added':
      return [event.sender, ...event.users]
    case 'removed':
    case 'left':
    case 'role':
      return [event.sender, event.user]
    case 'message':
    case 'unknown':
      return [event.sender]
  }
}
