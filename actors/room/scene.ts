/** For tests: a room, its log, a clock and ids that only rise, and commands in few words. */
import type {
  Answer,
  Asked,
  Decision,
  RoomBehavior,
  RoomCommand,
} from '../../lib/actor/behavior.ts'
import { dmId, type RoomId, type UserId } from '../../lib/ids.ts'
import { hashBytes } from '../../lib/protocol/hash.ts'
import type { Send } from '../../lib/protocol/hot.ts'
import type { RoomRecord } from '../../lib/protocol/records.ts'
import { Writer } from '../../lib/protocol/writer.ts'
import { room as behaviorOfRoom } from './room.ts'
import { ROLE } from './state.ts'

export const [ANN, BEN, CAT, DAN, EVE] = ['uann', 'uben', 'ucat', 'udan', 'ueve'] as [
  UserId,
  UserId,
  UserId,
  UserId,
  UserId,
]
export const GROUP = 'gABCDEFGHIJKLMNOPQRSTU' as RoomId
export const DM = dmId(ANN, BEN)

/** What a command says of its number. */
export type Place = { lineage?: number; join?: number; n: number; low?: number }

const utf8 = new TextEncoder()
const numberedBy = (name: string, { lineage = 100, join = 0, n, low = n }: Place, more: object) => {
  const bytes = utf8.encode(JSON.stringify([name, lineage, join, n, low, more]))
  return { req: 1, lineage, join, n, low, hash: hashBytes(bytes, 0, bytes.length) }
}

type Named<N extends RoomCommand['name']> = Extract<RoomCommand, { name: N }>

export const commands = (room: RoomId) => ({
  send: (place: Place, text: string, peer: UserId | null = null): Send => ({
    ...numberedBy('send', place, { text, peer }),
    name: 'send',
    room,
    text: new Writer().str(text).take(),
    textBytes: utf8.encode(text).length,
    peer,
  }),
  create: (
    place: Place,
    members: readonly UserId[],
    { title = 'Trip', openHistory = false } = {},
  ): Named<'create'> => ({
    ...numberedBy('create', place, { members, title, openHistory }),
    name: 'create',
    room,
    title,
    openHistory,
    members,
  }),
  add: (place: Place, users: readonly UserId[]): Named<'add'> => ({
    ...numberedBy('add', place, users),
    name: 'add',
    room,
    users,
  }),
  remove: (place: Place, user: UserId): Named<'remove'> => ({
    ...numberedBy('remove', place, { user }),
    name: 'remove',
    room,
    user,
  }),
  leave: (place: Place): Named<'leave'> => ({
    ...numberedBy('leave', place, {}),
    name: 'leave',
    room,
  }),
  role: (place: Place, user: UserId, role: number): Named<'role'> => ({
    ...numberedBy('role', place, { user, role }),
    name: 'role',
    room,
    user,
    role,
  }),
  fetch: (from: number, limit: number, back = false): Named<'fetch'> => ({
    name: 'fetch',
    req: 1,
    room,
    from,
    limit,
    back,
  }),
  read: (seq: number, ord: number): Named<'read'> => ({ name: 'read', req: 1, room, seq, ord }),
  open: (lineage: number | null = null, peer: UserId | null = null): Named<'open'> => ({
    name: 'open',
    req: 1,
    room,
    lineage,
    peer,
  }),
})

export type Heard = { readonly record: RoomRecord; readonly by: readonly UserId[] }

export const scene = <State>(behavior: RoomBehavior<State>, room: RoomId) => {
  let state = behavior.empty(room)
  const log: RoomRecord[] = []
  let ids = 1_000n
  let now = 1_000

  const asked = (user: UserId, permit: Asked['permit']): Asked => ({
    user,
    now,
    permit,
    nextId: () => ++ids,
  })
  const decide = (user: UserId, command: RoomCommand, permit?: Asked['permit']): Decision =>
    behavior.decide(state, command, asked(user, permit))

  /** The state that the log alone gives. */
  const replay = (): State => {
    const again = behavior.empty(room)
    for (const record of log) behavior.evolve(again, record)
    return again
  }

  return {
    get state(): State {
      return state
    },
    log,
    /** What another host has of it: by its snapshot, or by its log alone. */
    move: (by: 'snapshot' | 'log'): void => {
      state = by === 'log' ? replay() : behavior.decode(room, behavior.encode(state))
    },
    /** Sets the clock, which may also go back. */
    at: (time: number): void => {
      now = time
    },
    decide,
    /** Decides and evolves. */
    when: (user: UserId, command: RoomCommand, permit?: Asked['permit']) => {
      now++
      const { answer, records } = decide(user, command, permit)
      const heard: Heard[] = records.map((record) => {
        log.push(record)
        return { record, by: behavior.evolve(state, record) }
      })
      return { answer, records, heard }
    },
    replay,
    ...commands(room),
  }
}

/** The code of a refusal, the kind of any other answer. */
export const saying = (answer: Answer): string =>
  answer.kind === 'refused' ? answer.refusal.refused : answer.kind

/** A group of Ann (owner), Ben (admin), Cat and Dan, at head 2; Eve is a stranger. */
export const groupScene = (options: { title?: string; openHistory?: boolean } = {}) => {
  const it = scene(behaviorOfRoom, GROUP)
  it.when(ANN, it.create({ n: 1 }, [BEN, CAT, DAN], options))
  it.when(ANN, it.role({ n: 2 }, BEN, ROLE.admin))
  return it
}

/** A dm of Ann and Ben, at head 2. */
export const dmScene = () => {
  const it = scene(behaviorOfRoom, DM)
  it.when(ANN, it.send({ n: 1 }, 'hello', BEN), 'granted')
  return it
}
