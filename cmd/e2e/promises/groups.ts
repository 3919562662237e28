/** Who sees what of a group, from when until when; judged by the invariants (PROTOCOL 5). */
import type { Test } from 'tap'
import { newGroupId, type RoomId, type UserId } from '../../../lib/ids.ts'
import { readFrames } from '../../../lib/protocol/codec.ts'
import { EVENT_KINDS } from '../../../lib/protocol/events.ts'
import { Invariants, type Reader } from '../../../lib/testing/invariants.ts'
import { codeOf, type Device } from '../device.ts'
import type { Stage } from '../stage.ts'
import type { Reply } from '../wire.ts'

const KINDS = new Map<number, string>(
  Object.entries(EVENT_KINDS).map(([name, { number }]) => [number, name]),
)

const seqOf = (reply: Reply): number => {
  if (reply.name !== 'ack') throw new Error(`no ack: ${codeOf(reply) ?? reply.name}`)
  return reply.seq
}

/** Devices of users with names, and a group that they speak of. */
const scene = async (stage: Stage, prefix: string, names: readonly string[]) => {
  const devices = await Promise.all(
    names.map(async (name) => stage.open(await stage.register(`${prefix}.${name}`))),
  )
  const room = newGroupId()
  const close = () => Promise.all(devices.map((device) => device.close()))
  return { room, close, devices: devices as [Device, Device, Device] }
}

const create = (device: Device, room: RoomId, members: readonly UserId[], openHistory = false) =>
  device.wire.ask('create', { ...device.numbered(room, 1), title: 'Friends', openHistory, members })

/** Tells a reader the events of a page. */
const readPage = async (reader: Reader, device: Device, room: RoomId): Promise<string[]> => {
  const kinds: string[] = []
  const page = await device.fetch(room)
  for (const bytes of page.events) {
    for (const frame of readFrames(bytes)) {
      if (frame.name === 'skip') reader.skipped(frame.first, frame.last)
      if (frame.name !== 'event') continue
      reader.saw(frame.seq, frame.id)
      kinds.push(KINDS.get(frame.kind) ?? '')
    }
  }
  return kinds
}

const follow = (reader: Reader, device: Device, room: RoomId): (() => void) =>
  device.onEvent(room, ({ seq, id }) => reader.saw(seq, id))

export const groupPromises = (t: Test, stage: Stage): void => {
  t.test('a stay in a group begins with the join and ends with the removal', async (t) => {
    const { room, devices, close } = await scene(stage, 'stay', ['ann', 'bob', 'carl'])
    const [ann, bob, carl] = devices
    const check = new Invariants()
    const judge = check.room(room)
    for (let seq = 1; seq <= 13; seq++) judge.foreign(seq)
    let n = 1
    const say = async (text: string) => seqOf(await ann.send(room, ++n, text))
    const add = (user: UserId) => ann.wire.ask('add', { ...ann.numbered(room, ++n), users: [user] })

    const early = judge.reader('bob')
    const unfollow = follow(early, bob, room)
    t.equal(seqOf(await create(ann, room, [bob.user])), 1)
    await say('two')
    await say('three')
    const joined = judge.reader('carl', { from: 4 })
    follow(joined, carl, room)
    t.equal(seqOf(await add(carl.user)), 4)
    await say('five')
    await Promise.all([bob.sees(room, 5), carl.sees(room, 5)])
    t.match(await carl.pointer(room, 'of the new member', ({ head }) => head === 5), {
      ...{ from: 4, join: 4, role: 0, flags: 0, title: 'Friends' },
    })
    t.same(await readPage(joined, carl, room), ['added', 'message'])

    const removal = { ...ann.numbered(room, ++n), user: bob.user }
    t.equal(seqOf(await ann.wire.ask('remove', removal)), 6)
    early.until(6)
    await bob.sees(room, 6)
    await say('seven')
    await say('eight')
    await carl.sees(room, 8)
    t.same(await readPage(early, bob, room), [
      ...['created', 'message', 'message', 'added', 'message', 'removed'],
    ])
    t.match(await bob.wire.ask('open', { room, peer: null, lineage: null }), {
      ...{ name: 'info', head: 6, from: 1, members: [] },
    })
    t.match(await bob.pointer(room, 'of the removed', ({ flags }) => flags === 1), { head: 6 })
    t.equal(codeOf(await bob.send(room, 1, 'still here?', { join: 1 })), 'not_member')

    // What bob is not to see would be a leak in either stay.
    unfollow()
    const second = judge.reader('bob, again', { from: 9 })
    follow(second, bob, room)
    t.equal(seqOf(await add(bob.user)), 9)
    await bob.sees(room, 9)
    t.same(await readPage(second, bob, room), ['added'])

    t.equal(seqOf(await carl.wire.ask('leave', carl.numbered(room, 1, 4))), 10)
    joined.until(10)
    await readPage(joined, carl, room)
    t.equal(await say('eleven'), 11)
    // Ann owned it alone: bob becomes owner first.
    t.equal(seqOf(await ann.wire.ask('leave', ann.numbered(room, ++n))), 13)
    await bob.sees(room, 13)
    t.same(await readPage(second, bob, room), ['added', 'left', 'message', 'role', 'left'])
    t.match(await bob.wire.ask('open', { room, peer: null, lineage: null }), {
      ...{ role: 2, members: [{ user: bob.user, role: 2 }] },
    })
    await Promise.all(devices.map((device) => device.wire.ask('ping', {})))
    t.same(check.finish({ settled: true }), [], 'nothing leaked, nothing was missing')
    await close()
  })

  t.test('with open history a new member reads from the start', async (t) => {
    const { room, devices, close } = await scene(stage, 'open', ['ann', 'bob', 'carl'])
    const [ann, , carl] = devices
    await create(ann, room, [], true)
    await ann.send(room, 2, 'said before')
    await ann.wire.ask('add', { ...ann.numbered(room, 3), users: [carl.user] })
    const reader = new Invariants().room(room).reader('carl')
    t.same(await readPage(reader, carl, room), ['created', 'message', 'added'])
    t.equal(reader.missing(), undefined)
    await close()
  })

  t.test('roles: who may what', async (t) => {
    const { room, devices, close } = await scene(stage, 'roles', ['ann', 'bob', 'carl'])
    const [ann, bob, carl] = devices
    await create(ann, room, [bob.user, carl.user])
    const by = (device: Device, n: number) => device.numbered(room, n, device === ann ? 0 : 1)
    const user = (device: Device) => ({ user: device.user })
    const make = (device: Device, n: number, whom: Device, role: number) =>
      device.wire.ask('role', { ...by(device, n), ...user(whom), role })
    const remove = (device: Device, n: number, whom: Device) =>
      device.wire.ask('remove', { ...by(device, n), ...user(whom) })

    t.equal(codeOf(await make(bob, 1, bob, 2)), 'forbidden', 'a member promotes itself')
    t.equal(codeOf(await remove(bob, 2, carl)), 'forbidden', 'a member removes another')
    t.equal(codeOf(await make(ann, 2, ann, 0)), 'forbidden', 'the last owner steps down')
    seqOf(await make(ann, 3, bob, 1))
    t.equal(codeOf(await make(bob, 3, bob, 2)), 'forbidden', 'an admin promotes itself')
    t.equal(codeOf(await remove(bob, 4, ann)), 'forbidden', 'an admin removes the owner')
    t.equal(seqOf(await remove(bob, 5, carl)), 3, 'an admin removes a member')
    t.equal(codeOf(await remove(bob, 6, carl)), 'not_found', 'twice')
    await close()
  })

  t.test('a read position only rises, and is seen where it should be', async (t) => {
    const { room, devices, close } = await scene(stage, 'read', ['ann', 'bob', 'carl'])
    const [ann, bob, eve] = devices
    await create(ann, room, [bob.user])
    for (const n of [2, 3, 4]) await ann.send(room, n, `message ${n}`)
    const read = (device: Device, seq: number) =>
      device.wire.ask('read', { room, seq, ord: seq - 1 })
    t.equal((await read(bob, 3)).name, 'ok')
    t.equal((await read(bob, 2)).name, 'ok', 'a lower one changes nothing')
    t.equal(codeOf(await read(bob, 99)), 'bad_request', 'beyond the head')
    t.equal(codeOf(await read(eve, 1)), 'not_member')
    await bob.pointer(room, 'with what was read', (one) => one.read === 3 && one.readOrd === 2)
    const info = await ann.wire.ask('open', { room, peer: null, lineage: null })
    if (info.name !== 'info') throw new Error('no info')
    t.equal(info.members.find(({ user }) => user === bob.user)?.read, 3)
    await close()
  })
}
