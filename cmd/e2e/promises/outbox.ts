/** Exactly once, in order, however late (contracts N): what a client's numbered commands come to. */
import type { Test } from 'tap'
import { dmId, newGroupId, type RoomId, type UserId } from '../../../lib/ids.ts'
import { codeOf, type Device } from '../device.ts'
import type { Stage } from '../stage.ts'
import type { Reply } from '../wire.ts'

const OTHERS = 10_000
const PIPELINE = 32

/** What an ack promises. */
const ackOf = (reply: Reply) => {
  if (reply.name !== 'ack') throw new Error(`no ack: ${codeOf(reply) ?? reply.name}`)
  return { seq: reply.seq, id: reply.id, time: reply.time }
}

/** Sends `count` messages from number `from` on, as many at once as may be. */
const flood = async (
  device: Device,
  room: RoomId,
  { from, count, peer = null }: { from: number; count: number; peer?: UserId | null },
): Promise<void> => {
  const open: Promise<Reply>[] = []
  for (let n = from; n < from + count; n++) {
    if (open.length === PIPELINE) ackOf((await open.shift()) as Reply)
    open.push(device.send(room, n, `message ${n}`, { low: n - open.length, peer }))
  }
  for (const reply of await Promise.all(open)) ackOf(reply)
}

const create = (device: Device, room: RoomId, members: readonly UserId[]): Promise<Reply> =>
  device.wire.ask('create', {
    ...device.numbered(room, 1),
    ...{ title: 'A group', openHistory: false, members },
  })

const joinOf = async (device: Device, room: RoomId): Promise<number> => {
  const info = await device.wire.ask('open', { room, peer: null, lineage: null })
  if (info.name !== 'info') throw new Error(`open: ${codeOf(info)}`)
  return info.join
}

export const outboxPromises = (t: Test, stage: Stage): void => {
  const { server } = stage

  t.test('N2: a resend after 10,000 other messages gets the first ack', async (t) => {
    const [ann, bob] = [await stage.register('n2.ann'), await stage.register('n2.bob')]
    const room = dmId(ann.user, bob.user)
    const one = await stage.open(ann)
    const other = await stage.open(bob)
    const first = ackOf(await one.send(room, 1, 'first', { peer: bob.user }))
    await flood(other, room, { from: 1, count: OTHERS, peer: ann.user })

    t.same(ackOf(await one.send(room, 1, 'first', { peer: bob.user })), first)
    t.equal((await other.fetch(room, OTHERS + 2)).head, OTHERS + 2, 'nothing was added')

    await server.killAll()
    await server.start()
    const again = await stage.open(ann, { lineage: one.lineage })
    const resent = await again.send(room, 1, 'first', { peer: bob.user })
    t.same(ackOf(resent), first, 'also after kill -9 of everything')
    const next = ackOf(await again.send(room, 2, 'second', { peer: bob.user }))
    t.equal(next.seq, OTHERS + 3, 'and the lineage goes on')

    for (let n = 3; n <= 80; n++) ackOf(await again.send(room, n, `message ${n}`))
    const settled = await again.send(room, 2, 'second', { peer: bob.user })
    t.equal(codeOf(settled), 'settled', 'what its sender called settled is forgotten, never redone')
    await again.close()
  })

  t.test('N3: a number is decided once, in its turn', async (t) => {
    const [ann, bob] = [await stage.register('n3.ann'), await stage.register('n3.bob')]
    const room = dmId(ann.user, bob.user)
    const peer = bob.user
    const one = await stage.open(ann)
    ackOf(await one.send(room, 1, 'one', { peer }))

    const early = await one.send(room, 3, 'three', { low: 2, peer })
    t.match(early, { temporary: true, detail: '2' })
    t.equal(codeOf(early), 'out_of_order')
    const other = await one.send(room, 1, 'another one', { peer })
    t.equal(codeOf(other), 'conflict', 'a number stands for its first content')
    ackOf(await one.send(room, 2, 'two', { low: 2, peer }))
    ackOf(await one.send(room, 3, 'three', { low: 2, peer }))
    t.equal((await one.fetch(room)).events.length, 4, 'created, and three messages')
    for (const [low, n] of [
      [5, 4],
      [1, 40],
      [0, 4],
    ] as const) {
      const nonsense = await one.send(room, n, 'nonsense', { low, peer })
      t.equal(codeOf(nonsense), 'bad_request', `low ${low} of ${n}`)
    }
    await one.close()
  })

  t.test('N2: a late copy of a refused command stays refused', async (t) => {
    const names = ['n2r.ann', 'n2r.bob', 'n2r.carl']
    const [ann, bob, carl] = await Promise.all(names.map((name) => stage.register(name)))
    const room = newGroupId()
    const owner = await stage.open(ann!)
    const member = await stage.open(bob!)
    ackOf(await create(owner, room, [bob!.user]))
    const add = (n: number) =>
      member.wire.ask('add', { ...member.numbered(room, n, 1), low: 1, users: [carl!.user] })
    const join = await joinOf(member, room)
    t.equal(join, 1, 'a member from the start joined with event 1')

    t.equal(codeOf(await add(1)), 'forbidden', 'a member may not add')
    const promote = owner.numbered(room, 2)
    ackOf(await owner.wire.ask('role', { ...promote, user: bob!.user, role: 1 }))
    t.equal(codeOf(await add(1)), 'forbidden', 'its late copy is refused as before')

    await server.killAll()
    await server.start()
    const again = await stage.open(bob!, { lineage: member.lineage })
    const copy = await again.wire.ask('add', {
      ...{ ...again.numbered(room, 1, 1), low: 1 },
      users: [carl!.user],
    })
    t.equal(codeOf(copy), 'forbidden', 'also after kill -9 of everything')
    const anew = { ...again.numbered(room, 2, 1), users: [carl!.user] }
    t.equal(ackOf(await again.wire.ask('add', anew)).seq, 3, 'as a new command it is accepted')
    await again.close()
  })

  t.test('N1: a command from before a removal and re-add never becomes valid', async (t) => {
    const [ann, bob] = [await stage.register('n1.ann'), await stage.register('n1.bob')]
    const room = newGroupId()
    const owner = await stage.open(ann)
    const member = await stage.open(bob)
    ackOf(await create(owner, room, [bob.user]))
    const join = await joinOf(member, room)
    const before = ackOf(await member.send(room, 1, 'before', { join, low: 1 }))

    const removal = { ...owner.numbered(room, 2), user: bob.user }
    ackOf(await owner.wire.ask('remove', removal))
    const outside = await member.send(room, 2, 'on its way', { join, low: 1 })
    t.equal(codeOf(outside), 'not_member')
    const adding = { ...owner.numbered(room, 3), users: [bob.user] }
    const added = ackOf(await owner.wire.ask('add', adding))

    const late = await member.send(room, 2, 'on its way', { join, low: 1 })
    t.equal(codeOf(late), 'stale_join')
    t.same(ackOf(await member.send(room, 1, 'before', { join, low: 1 })), before, 'the first ack')
    const now = await joinOf(member, room)
    t.equal(now, added.seq)
    const anew = ackOf(await member.send(room, 1, 'after', { join: now }))
    t.equal(anew.seq, added.seq + 1, 'the new stay counts anew')
    await owner.close()
    await member.close()
  })

  t.test('N4: a forgotten lineage is told so', async (t) => {
    const [ann, bob] = [await stage.register('n4.ann'), await stage.register('n4.bob')]
    const room = dmId(ann.user, bob.user)
    const peer = bob.user
    const first = await stage.open(ann)
    ackOf(await first.send(room, 1, 'by the first', { peer }))
    await first.close()
    const lineages = [first.lineage]
    for (let i = 0; i < 16; i++) {
      const device = await stage.open(ann)
      t.ok(device.lineage > lineages.at(-1)!, 'each is greater than all before')
      lineages.push(device.lineage)
      ackOf(await device.send(room, 1, `by another, ${i}`, { peer }))
      await device.close()
    }
    const back = await stage.open(ann, { lineage: first.lineage })
    for (const n of [1, 2]) {
      const late = await back.send(room, n, 'by the first', { peer })
      t.equal(codeOf(late), 'unknown_lineage', `number ${n}`)
    }
    await back.close()
  })

  t.test('N5: a group is made once, by whoever chose its id; a dm by its two', async (t) => {
    const [ann, bob] = [await stage.register('n5.ann'), await stage.register('n5.bob')]
    const room = newGroupId()
    const owner = await stage.open(ann)
    const stranger = await stage.open(bob)
    const made = ackOf(await create(owner, room, []))
    t.same(ackOf(await create(owner, room, [])), made, 'a retry makes no second one')
    t.equal(codeOf(await create(stranger, room, [])), 'exists')
    const dm = dmId(ann.user, bob.user)
    t.equal(codeOf(await create(stranger, dm, [])), 'bad_request', 'the id of a dm')
    const wrong = await stranger.send(dm, 1, 'hi', { peer: bob.user })
    t.equal(codeOf(wrong), 'bad_request', 'a peer whom the id does not mean')
    const nobody = 'uNobodyNobodyNob' as UserId
    const lost = await stranger.send(dmId(bob.user, nobody), 1, 'hi', { peer: nobody })
    t.equal(codeOf(lost), 'not_found', 'a user who does not exist')
    await owner.close()
    await stranger.close()
  })
}
