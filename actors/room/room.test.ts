/** Whatever is sent, in whatever order, twice, late or from another life: what must hold at every step. */
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { Answer, Asked } from '../../lib/actor/behavior.ts'
import type { RoomId, UserId } from '../../lib/ids.ts'
import { EVENT_KINDS } from '../../lib/protocol/events.ts'
import type { EventRecord, RoomRecord } from '../../lib/protocol/records.ts'
import { readAdded, readCreated, readRoleBody, readUserBody } from './bodies.ts'
import { LINEAGES_KEPT, type Numbered } from './lineages.ts'
import { room } from './room.ts'
import { ANN, BEN, CAT, DAN, DM, EVE, GROUP, type Heard, saying, scene } from './scene.ts'

const USERS = [ANN, BEN, CAT, DAN, EVE] as const
type Stay = { join: number; from: number; to: number; role: number }

/** Who is, was and sees what, told by the events alone. */
const watch = (id: RoomId) => {
  const stays = new Map<UserId, Stay[]>()
  let [head, ord, time, openHistory] = [0, 0, 0, false]
  const current = (user: UserId) => stays.get(user)?.findLast(({ to }) => to === Infinity)
  const enter = (user: UserId, stay: Stay) => stays.set(user, [...(stays.get(user) ?? []), stay])
  const members = () => USERS.filter((user) => current(user) !== undefined)

  const allowed = (record: EventRecord): boolean => {
    const by = current(record.sender)
    if (by === undefined) return false
    if (record.type === EVENT_KINDS.added.number) return by.role >= 1
    if (record.type === EVENT_KINDS.role.number) return by.role === 2
    if (record.type === EVENT_KINDS.left.number) return readUserBody(record.body) === record.sender
    if (record.type !== EVENT_KINDS.removed.number) return true
    const whom = readUserBody(record.body)
    if (whom === record.sender || by.role === 0) return false
    return by.role === 2 || current(whom)?.role === 0
  }

  const see = ({ record, by }: Heard): void => {
    if (record.kind !== 'event') return
    const { seq, type, body, sender } = record
    if (seq !== ++head) throw new Error(`a hole before ${seq}`)
    if (type === EVENT_KINDS.message.number) ord++
    if (record.ord !== ord) throw new Error(`ord ${record.ord} at ${seq}, not ${ord}`)
    if (record.time < time) throw new Error('time fell')
    time = record.time
    const gone: UserId[] = []
    if (type === EVENT_KINDS.created.number) {
      const made = readCreated(body)
      openHistory = made.openHistory
      for (const [user, role] of made.members) {
        const join = id === DM || user === sender ? 0 : 1
        enter(user, { join, from: 1, to: Infinity, role })
      }
    } else if (!allowed(record)) throw new Error(`${sender} may not do ${type}`)
    if (type === EVENT_KINDS.added.number) {
      for (const user of readAdded(body)) {
        enter(user, { join: seq, from: openHistory ? 1 : seq, to: Infinity, role: 0 })
      }
    }
    if (type === EVENT_KINDS.role.number) {
      const { user, role } = readRoleBody(body)
      current(user)!.role = role
    }
    if (type === EVENT_KINDS.removed.number || type === EVENT_KINDS.left.number) {
      const user = readUserBody(body)
      current(user)!.to = seq
      gone.push(user)
    }
    const inIt = members()
    if (inIt.length > 0 && id !== DM && !inIt.some((user) => current(user)!.role === 2)) {
      const roleComes = type === EVENT_KINDS.role.number
      if (!roleComes) throw new Error('a group without an owner')
    }
    const expected = [...inIt, ...gone].sort().join()
    if ([...by].sort().join() !== expected)
      throw new Error(`${by} heard of ${seq}, not ${expected}`)
  }
  return {
    see,
    current,
    last: (user: UserId) => stays.get(user)?.at(-1),
    before: (user: UserId) => stays.get(user)?.at(-2),
    head: () => head,
  }
}

/** What was answered to whom, so that it is never answered otherwise. */
const remember = () => {
  type Told = { last: number; low: number; by: Map<number, { hash: number; answer: Answer }> }
  const told = new Map<string, Told>()
  const effects = new Set<string>()
  const key = (user: UserId, join: number, lineage: number) => `${user} ${join} ${lineage}`
  return {
    of: (user: UserId, { join, lineage }: { join: number; lineage: number }): Told | undefined =>
      told.get(key(user, join, lineage)),
    lineages: (user: UserId, join: number): number =>
      [...told.keys()].filter((one) => one.startsWith(`${user} ${join} `)).length,
    tell: (user: UserId, command: Numbered, answer: Answer, records: readonly RoomRecord[]) => {
      for (const record of records) {
        if (record.kind === 'read' || record.n === 0) continue
        const effect = `${user} ${record.hash}`
        if (effects.has(effect)) throw new Error(`decided twice: ${effect}`)
        effects.add(effect)
      }
      const at = key(user, command.join, command.lineage)
      const known = told.get(at) ?? { last: 0, low: 0, by: new Map() }
      known.by.set(command.n, { hash: command.hash, answer })
      known.last = command.n
      known.low = Math.max(known.low, command.low)
      told.set(at, known)
    },
  }
}

const step = (users: readonly UserId[], lineages: number, verbs: readonly string[]) =>
  fc.record({
    user: fc.constantFrom(...users),
    lineage: fc.integer({ min: 100, max: 99 + lineages }),
    verb: fc.constantFrom(...verbs),
    target: fc.constantFrom(...USERS),
    role: fc.integer({ min: 0, max: 2 }),
    mode: fc.oneof(
      { weight: 6, arbitrary: fc.constant('next' as const) },
      { weight: 2, arbitrary: fc.constant('lost' as const) },
      { weight: 3, arbitrary: fc.constant('again' as const) },
      { weight: 1, arbitrary: fc.constant('gap' as const) },
    ),
    which: fc.nat(1000),
    lag: fc.integer({ min: 0, max: 4 }),
    tick: fc.integer({ min: -5, max: 5 }),
    move: fc.oneof(
      { weight: 8, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.constantFrom('snapshot' as const, 'log' as const) },
    ),
  })
type Step = ReturnType<typeof step> extends fc.Arbitrary<infer S> ? S : never

const run = (id: RoomId, steps: readonly Step[], permit: Asked['permit']) => {
  const it = scene(room, id)
  const seen = watch(id)
  const told = remember()
  const issued: { user: UserId; command: Numbered }[] = []
  const reads = new Map<string, number>()
  let [decided, evicted] = [0, 0]
  let clock = 1_000

  const make = ({ user, lineage, verb, target, role, mode, which, lag }: Step): Numbered => {
    const join = seen.last(user)?.join ?? 0
    const n = (told.of(user, { join, lineage })?.last ?? 0) + (mode === 'gap' ? 2 : 1)
    const place = { lineage, join, n, low: Math.max(1, n - lag) }
    if (verb === 'create') return it.create(place, USERS.slice(0, which % 5))
    if (verb === 'add') return it.add(place, [target, USERS[which % 5]!])
    if (verb === 'remove') return it.remove(place, target)
    if (verb === 'leave') return it.leave(place)
    if (verb === 'role') return it.role(place, target, role)
    const peer = id !== DM ? null : user === ANN ? BEN : ANN
    return it.send(place, which % 9 === 0 ? '' : `text ${which}`, peer)
  }

  const deliver = (user: UserId, command: Numbered): void => {
    const stay = seen.current(user)
    const known = told.of(user, command)
    const past = [seen.last(user), stay && seen.before(user)]
    const remembered = past.some((one) => one?.join === command.join)
    const many = told.lineages(user, command.join) >= LINEAGES_KEPT
    const { answer, records, heard } = it.when(user, command, permit)
    const said = saying(answer)
    const expect = (what: string): void => {
      if (said === what && records.length === 0) return
      if (many && said === 'unknown_lineage' && records.length === 0) {
        evicted++
        return
      }
      throw new Error(`${user} was told ${said}, not ${what}: ${JSON.stringify(command)}`)
    }

    for (const one of heard) seen.see(one)
    if (remembered && known !== undefined && command.n <= known.last) {
      const then = known.by.get(command.n)
      if (command.n < known.low) expect('settled')
      else if (then?.hash !== command.hash) expect('conflict')
      else {
        expect(saying(then.answer))
        if (said === 'ack' && JSON.stringify(answer, text) !== JSON.stringify(then.answer, text)) {
          throw new Error('another ack than the first')
        }
      }
    } else if (records.length > 0) {
      const next = command.n === (known?.last ?? 0) + 1
      if (!next) throw new Error('decided out of its turn')
      if (stay !== undefined && stay.join !== command.join) throw new Error('of another stay')
      if (stay === undefined && seen.head() !== heard.length) throw new Error('by an outsider')
      if ((said === 'ack') !== (records[0]?.kind === 'event')) throw new Error(`${said}: no event`)
      told.tell(user, command, answer, records)
      decided++
    } else if (said === 'ack') throw new Error('acked, but nothing was recorded')
    else if (stay?.join === command.join && command.n > (known?.last ?? 0)) {
      const unheard = known === undefined && command.low > 1
      expect(unheard ? 'unknown_lineage' : 'out_of_order')
    }
  }

  const check = (): void => {
    for (const user of USERS) {
      const stay = seen.last(user)
      const { answer } = it.decide(user, it.fetch(0, 256, true))
      const pointer = room.pointer(it.state, user)
      if (stay === undefined) {
        if (saying(answer) !== 'not_member' || pointer) throw new Error(`${user} is a stranger`)
        continue
      }
      const head = Math.min(stay.to, seen.head())
      const { from } = stay
      if (answer.kind !== 'range' || answer.from !== from || answer.head !== head) {
        throw new Error(`${user} sees ${JSON.stringify(answer)}, not ${from} … ${head}`)
      }
      if (answer.first < from || answer.last > head) throw new Error('past what may be seen')
      if (pointer?.head !== head || pointer.from !== from || pointer.join !== stay.join) {
        throw new Error(`the pointer of ${user} is off`)
      }
      const at = `${user} ${stay.join}`
      if (pointer.read < (reads.get(at) ?? 0)) throw new Error('a read position fell')
      if (pointer.readOrd > pointer.ord || pointer.read > head) throw new Error('read too far')
      reads.set(at, pointer.read)
    }
  }

  for (const one of steps) {
    clock += one.tick
    it.at(clock)
    if (one.verb === 'read') {
      const { heard } = it.when(one.user, it.read(one.which % (seen.head() + 2), one.role))
      for (const { by } of heard) if (by.includes(one.user)) throw new Error('told of itself')
    } else if (one.mode === 'again') {
      const old = issued[one.which % (issued.length || 1)]
      if (old !== undefined) deliver(old.user, old.command)
    } else {
      const command = make(one)
      issued.push({ user: one.user, command })
      if (one.mode !== 'lost') deliver(one.user, command)
    }
    check()
    const bytes = Buffer.from(room.encode(it.state))
    if (!bytes.equals(room.encode(room.decode(id, bytes)))) throw new Error('snapshot differs')
    if (one.move !== undefined) it.move(one.move)
    if (!bytes.equals(room.encode(it.state))) throw new Error(`state by ${one.move} differs`)
  }
  if (!Buffer.from(room.encode(it.replay())).equals(room.encode(it.state))) {
    throw new Error('the log gives another state')
  }
  return { decided, evicted }
}

const text = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)

type Shape = {
  runs: number
  users?: readonly UserId[]
  lineages?: number
  verbs: readonly string[]
}

const holds = (t: Test, id: RoomId, shape: Shape): void => {
  const { runs, users = USERS, lineages = 3, verbs } = shape
  const steps = fc.array(step(users, lineages, verbs), {
    minLength: 20,
    maxLength: 250,
    size: 'max',
  })
  let [decided, evicted] = [0, 0]
  fc.assert(
    fc.property(steps, fc.boolean(), (script, early) => {
      // Mostly the group is there; sometimes it comes in the middle of the script or not at all.
      const made = { ...script[0]!, user: ANN, verb: 'create', mode: 'next' as const, which: 3 }
      const told = run(id, early && id === GROUP ? [made, ...script] : script, 'granted')
      decided += told.decided
      evicted += told.evicted
    }),
    { numRuns: runs },
  )
  t.ok(decided > runs * 10, `${decided} commands decided in ${runs} runs`)
  if (lineages > LINEAGES_KEPT) t.ok(evicted > 0, `${evicted} refused as evicted`)
}

const some = (verb: string, count: number): string[] => Array<string>(count).fill(verb)
const GROUP_VERBS = [
  ...['create', 'remove', 'remove', 'leave', 'role', 'role', 'read', 'read'],
  ...some('add', 4),
  ...some('send', 10),
]

t.test('N in a group nothing is decided twice, told twice otherwise, or seen unduly', async (t) => {
  holds(t, GROUP, { runs: 200, verbs: GROUP_VERBS })
})

t.test('N … nor with more lineages than are kept', async (t) => {
  const users = [...USERS, ANN, ANN, ANN, ANN, ANN, ANN, ANN, ANN, ANN]
  holds(t, GROUP, { runs: 60, users, lineages: 24, verbs: [...GROUP_VERBS, ...some('send', 20)] })
})

t.test('N in a dm the same', async (t) => {
  const verbs = ['read', 'leave', 'create', ...some('send', 7)]
  holds(t, DM, { runs: 60, users: [ANN, ANN, BEN, BEN, EVE], verbs })
})
