import t from 'tap'
import type { UserId } from '../../lib/ids.ts'
import { room } from './room.ts'
import { ANN, BEN, CAT, DAN, dmScene, EVE, GROUP, groupScene, saying, scene } from './scene.ts'
import { FORMER_DETAILED, FORMER_KEPT, ROLE } from './state.ts'

const roles = (it: ReturnType<typeof groupScene>) =>
  [...it.state.members.values()].map(({ user, role }) => [user, role])

t.test('who may do what', async (t) => {
  const { owner, admin, member } = ROLE
  // In a group of Ann (owner), Ben (admin), Cat and Dan (members); n and join are those of who asks.
  const table: [
    UserId,
    string,
    (it: ReturnType<typeof groupScene>, place: Place) => Command,
    string,
  ][] = [
    [ANN, 'owner adds', (it, at) => it.add(at, [EVE]), 'ack'],
    [BEN, 'admin adds', (it, at) => it.add(at, [EVE]), 'ack'],
    [CAT, 'member adds', (it, at) => it.add(at, [EVE]), 'forbidden'],
    [ANN, 'owner removes an admin', (it, at) => it.remove(at, BEN), 'ack'],
    [BEN, 'admin removes a member', (it, at) => it.remove(at, CAT), 'ack'],
    [BEN, 'admin removes the owner', (it, at) => it.remove(at, ANN), 'forbidden'],
    [CAT, 'member removes a member', (it, at) => it.remove(at, DAN), 'forbidden'],
    [BEN, 'removing oneself', (it, at) => it.remove(at, BEN), 'bad_request'],
    [BEN, 'removing a stranger', (it, at) => it.remove(at, EVE), 'not_found'],
    [ANN, 'owner makes an admin', (it, at) => it.role(at, CAT, admin), 'ack'],
    [ANN, 'owner makes an owner', (it, at) => it.role(at, CAT, owner), 'ack'],
    [BEN, 'admin makes an admin', (it, at) => it.role(at, CAT, admin), 'forbidden'],
    [CAT, 'member makes themselves owner', (it, at) => it.role(at, CAT, owner), 'forbidden'],
    [ANN, 'the role that they have', (it, at) => it.role(at, CAT, member), 'bad_request'],
    [ANN, 'a stranger’s role', (it, at) => it.role(at, EVE, admin), 'not_found'],
    [ANN, 'the last owner steps down', (it, at) => it.role(at, ANN, member), 'forbidden'],
    [ANN, 'adding who is in it', (it, at) => it.add(at, [BEN, ANN]), 'bad_request'],
    [ANN, 'adding nobody', (it, at) => it.add(at, []), 'bad_request'],
    [CAT, 'member leaves', (it, at) => it.leave(at), 'ack'],
  ]
  for (const [user, what, command, said] of table) {
    const it = groupScene()
    const place = user === ANN ? { n: 3 } : { n: 1, join: 1 }
    const { answer, records } = it.when(user, command(it, place))
    t.equal(saying(answer), said, what)
    t.equal(records[0]?.kind, said === 'ack' ? 'event' : 'spent', what)
  }
})

t.test('a dm’s two users stay its two users', async (t) => {
  const it = dmScene()
  const tries = [
    (n: number) => it.add({ n }, [EVE]),
    (n: number) => it.remove({ n }, BEN),
    (n: number) => it.leave({ n }),
    (n: number) => it.role({ n }, ANN, ROLE.owner),
  ]
  for (const [i, command] of tries.entries()) {
    t.equal(saying(it.when(ANN, command(i + 2)).answer), 'forbidden')
  }
  t.strictSame(it.state.recipients, [ANN, BEN])
})

t.test('added users join with the event that adds them', async (t) => {
  const it = groupScene()
  it.when(CAT, it.send({ n: 1, join: 1 }, 'before'))
  const before = it.state.recipients
  const { heard, answer } = it.when(ANN, it.add({ n: 3 }, [BEN, EVE, EVE]))
  t.match(answer, { kind: 'ack', seq: 4 })
  t.strictSame(heard[0]?.by, [ANN, BEN, CAT, DAN, EVE], 'the new one hears of it')
  t.strictSame(before, [ANN, BEN, CAT, DAN], 'what was returned before is unchanged')
  t.match(it.when(EVE, it.open()).answer, { info: { join: 4, from: 4, role: ROLE.member } })
  t.match(room.pointer(it.state, EVE), { ord: 1, readOrd: 1 }, 'nothing is unread')
})

t.test('with open history those added see the start', async (t) => {
  const it = groupScene({ openHistory: true })
  it.when(ANN, it.add({ n: 3 }, [EVE]))
  t.match(it.when(EVE, it.open()).answer, { info: { join: 3, from: 1 } })
  t.match(it.when(EVE, it.fetch(0, 10)).answer, { first: 1, last: 3 })
})

t.test('a removal is the last that the removed one hears and sees', async (t) => {
  const it = groupScene()
  const { heard } = it.when(BEN, it.remove({ n: 1, join: 1 }, CAT))
  t.strictSame(heard[0]?.by, [ANN, BEN, DAN, CAT])
  const after = it.when(ANN, it.send({ n: 3 }, 'among us'))
  t.strictSame(after.heard[0]?.by, [ANN, BEN, DAN])
  t.match(it.when(CAT, it.fetch(0, 10, true)).answer, { first: 1, last: 3, head: 3 })
  t.match(it.when(CAT, it.fetch(4, 10)).answer, { last: 3, head: 3 })
  t.equal(saying(it.when(CAT, it.read(3, 0)).answer), 'not_member')
  const { answer } = it.when(CAT, it.open())
  t.match(answer, { info: { head: 3, ord: 0 } })
  t.strictSame(answer.kind === 'info' && answer.info.members, [], 'who is in it now is not told')
})

t.test('who comes back has new bounds', async (t) => {
  const it = groupScene()
  it.when(ANN, it.remove({ n: 3 }, CAT))
  it.when(ANN, it.send({ n: 4 }, 'without Cat'))
  it.when(ANN, it.add({ n: 5 }, [CAT]))
  t.match(it.when(CAT, it.open()).answer, { info: { join: 5, from: 5, head: 5 } })
  t.match(it.when(CAT, it.fetch(1, 10)).answer, { first: 5, last: 5 })
  t.notOk(it.state.former.has(CAT))
  t.strictSame(it.state.recipients, [ANN, BEN, DAN, CAT], 'last in the order of joining')
})

t.test('the last owner to leave hands the group to the oldest admin', async (t) => {
  const it = groupScene()
  it.when(ANN, it.role({ n: 3 }, BEN, ROLE.member))
  it.when(ANN, it.role({ n: 4 }, DAN, ROLE.admin))
  it.when(ANN, it.role({ n: 5 }, CAT, ROLE.admin))
  const { answer, records, heard } = it.when(ANN, it.leave({ n: 6 }))
  t.match(answer, { kind: 'ack', seq: 7 })
  t.match(records, [
    { kind: 'event', seq: 6, n: 0 },
    { kind: 'event', seq: 7, n: 6 },
  ])
  t.strictSame(heard[1]?.by, [BEN, CAT, DAN, ANN])
  t.strictSame(roles(it), [
    [BEN, ROLE.member],
    [CAT, ROLE.owner],
    [DAN, ROLE.admin],
  ])
})

t.test('… or to the oldest member', async (t) => {
  const it = groupScene()
  it.when(ANN, it.role({ n: 3 }, BEN, ROLE.member))
  it.when(ANN, it.remove({ n: 4 }, BEN))
  it.when(ANN, it.add({ n: 5 }, [BEN]))
  it.when(ANN, it.leave({ n: 6 }))
  t.equal(it.state.members.get(CAT)?.role, ROLE.owner, 'Ben came back after Cat came')
})

t.test('one owner of two leaves or steps down without more', async (t) => {
  const it = groupScene()
  it.when(ANN, it.role({ n: 3 }, CAT, ROLE.owner))
  t.equal(saying(it.when(ANN, it.role({ n: 4 }, ANN, ROLE.admin)).answer), 'ack')
  it.when(CAT, it.role({ n: 1, join: 1 }, ANN, ROLE.owner))
  t.match(it.when(ANN, it.leave({ n: 5 })).records, [{ n: 5 }])
  t.equal(it.state.members.get(CAT)?.role, ROLE.owner)
})

t.test('N5 an empty group leaves a tombstone', async (t) => {
  const it = scene(room, GROUP)
  const make = it.create({ n: 1, low: 1 }, [])
  const made = it.when(ANN, make).answer
  const leave = it.leave({ n: 2, low: 1 })
  const { answer, heard } = it.when(ANN, leave)
  t.strictSame(heard[0]?.by, [ANN])
  it.move('snapshot')
  t.strictSame(it.when(ANN, make).answer, made)
  t.strictSame(it.when(ANN, leave).answer, answer)
  t.equal(saying(it.when(ANN, it.send({ n: 3 }, 'x')).answer), 'not_found')
  t.equal(saying(it.when(ANN, it.add({ n: 3 }, [BEN])).answer), 'not_found')
  for (const user of [ANN, BEN]) {
    t.equal(saying(it.when(user, it.create({ n: 1, lineage: 300 }, [])).answer), 'exists')
  }
  t.equal(
    saying(it.when(BEN, it.send({ n: 1 }, 'x')).answer),
    'not_member',
    'to strangers, nothing',
  )
  t.match(it.when(ANN, it.fetch(0, 10, true)).answer, { first: 1, last: 2 })
  t.equal(it.log.length, 2)
})

t.test('of those who left the room remembers a bounded number', async (t) => {
  const it = scene(room, GROUP)
  it.when(ANN, it.create({ n: 1 }, []))
  const gone = Array.from({ length: FORMER_KEPT + 1 }, (_, i) => `u${i}` as UserId)
  let n = 2
  const sends = new Map<UserId, ReturnType<typeof it.send>>()
  for (const user of gone) {
    const { answer } = it.when(ANN, it.add({ n: n++ }, [user]))
    const join = answer.kind === 'ack' ? answer.seq : 0
    const send = it.send({ n: 1, join }, user)
    sends.set(user, send)
    it.when(user, send)
    it.when(ANN, it.remove({ n: n++ }, user))
  }
  const [first, second] = gone
  t.equal(it.state.former.size, FORMER_KEPT)
  t.equal(saying(it.when(first!, it.fetch(0, 9, true)).answer), 'not_member')
  t.equal(saying(it.when(second!, it.fetch(0, 9, true)).answer), 'range')
  t.match(it.when(second!, sends.get(second!)!).answer, { refusal: { refused: 'unknown_lineage' } })
  const newer = it.send({ n: 1, join: sends.get(second!)!.join, lineage: 200 }, 'x')
  t.equal(saying(it.when(second!, newer).answer), 'not_member')
  const ranks = [gone.at(-FORMER_DETAILED - 1)!, gone.at(-FORMER_DETAILED)!, gone.at(-1)!]
  t.strictSame(
    ranks.map((user) => saying(it.when(user, sends.get(user)!).answer)),
    ['unknown_lineage', 'ack', 'ack'],
  )
  t.strictSame(
    ranks.map((user) => room.pointer(it.state, user)?.preview),
    [null, ranks[1], ranks[2]],
  )
  t.strictSame(room.encode(it.replay()), room.encode(it.state))
})

type Place = { n: number; join?: number }
type Command = Parameters<ReturnType<typeof groupScene>['when']>[1]
