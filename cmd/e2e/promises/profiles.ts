/** One profile, one outbox (contracts N6), whatever people do with their profiles; through the SDK. */
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { folderProfile } from '../../../lib/client/index.node.ts'
import { type Ack, Client, type RoomEvent } from '../../../lib/client/index.ts'
import { eventually } from '../../../lib/testing/eventually.ts'
import type { Stage } from '../stage.ts'

const WITHIN = { within: 30_000 }

const home = async (t: Test): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-profile-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

const clientOf = ({ server, mode }: Stage, folder: string): Client =>
  new Client({
    ...{ api: server.api, ...folderProfile(folder), delivery: mode },
    backoff: { base: 50, cap: 500 },
  })

const account = (stage: Stage, name: string) => {
  const handle = stage.handle(name)
  return { handle, password: `${handle} is here` }
}

/** All that was said, as `text` or the kind of an event. */
const said = (events: readonly RoomEvent[]): string[] =>
  events.map((event) => (event.kind === 'message' ? event.text : `(${event.kind})`))

export const profilePromises = (t: Test, stage: Stage): void => {
  const { server } = stage

  t.test('N6: two tabs on one profile send once and in order, one after the other', async (t) => {
    const folder = await home(t)
    await stage.register('tabs.bob')
    const first = clientOf(stage, folder)
    await first.register(account(stage, 'tabs.ann'))
    await first.connect(WITHIN)
    const room = await first.dm(`@${stage.handle('tabs.bob')}`)
    await room.send('first tab')

    const second = clientOf(stage, folder)
    t.equal(await second.open(), 'waiting', 'the outbox is taken')
    await second.connect(WITHIN)
    const later = second.room(room.id)
    let sent: Ack | undefined
    const sending = later.send('second tab').then((ack) => {
      sent = ack
    })
    t.same(said(await later.history()), ['(created)', 'first tab'], 'it reads meanwhile')
    t.equal(sent, undefined, 'and keeps what it is given')
    await first.close()
    await sending
    t.equal(second.outbox, 'held', 'it has taken over')
    await later.send('second tab again')
    t.same(said(await later.history()), [
      ...['(created)', 'first tab', 'second tab', 'second tab again'],
    ])
    await second.close()
  })

  t.test('N6: what a tab was given before it died is sent by the next one', async (t) => {
    const folder = await home(t)
    await stage.register('died.bob')
    const first = clientOf(stage, folder)
    await first.register(account(stage, 'died.ann'))
    await first.connect(WITHIN)
    const room = await first.dm(`@${stage.handle('died.bob')}`)
    await room.send('one')
    await server.killAll()
    const lost = Promise.allSettled([room.send('two'), room.send('three')])
    await eventually('they are in the outbox', () => first.pending === 2, WITHIN)
    await first.close()
    t.ok(
      (await lost).every(({ status }) => status === 'rejected'),
      'nobody says they were sent',
    )
    await server.start()

    const next = clientOf(stage, folder)
    await next.connect(WITHIN)
    await next.idle()
    t.same(said(await next.room(room.id).history()), ['(created)', 'one', 'two', 'three'])
    await next.close()
  })

  t.test('N6: a reinstalled device is a new device, and has everything', async (t) => {
    const folder = await home(t)
    const ann = account(stage, 'again.ann')
    await stage.register('again.bob')
    const old = clientOf(stage, folder)
    const before = await old.register(ann)
    await old.connect(WITHIN)
    const room = await old.dm(`@${stage.handle('again.bob')}`)
    for (const text of ['one', 'two', 'three']) await room.send(text)
    await old.close()
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })

    const fresh = clientOf(stage, folder)
    const after = await fresh.login(ann)
    t.equal(after.user, before.user)
    t.not(after.device, before.device, 'device ids are never used again')
    await fresh.connect(WITHIN)
    const [summary] = await eventually(
      'it has the list of rooms',
      () => {
        const rooms = fresh.rooms()
        return rooms.length > 0 && rooms
      },
      WITHIN,
    )
    t.match(summary, { room: room.id, head: 4 })
    const here = fresh.room(room.id)
    await here.send('four')
    t.same(said(await here.history()), ['(created)', 'one', 'two', 'three', 'four'])
    await fresh.close()
  })

  t.test('N3: a profile restored from an old copy sends nothing twice', async (t) => {
    const folder = await home(t)
    const copy = `${folder}-copy`
    t.teardown(() => rm(copy, { recursive: true, force: true, maxRetries: 5 }))
    await stage.register('copy.bob')
    const first = clientOf(stage, folder)
    await first.register(account(stage, 'copy.ann'))
    await first.connect(WITHIN)
    const room = await first.dm(`@${stage.handle('copy.bob')}`)
    await room.send('one')
    await first.close()
    await cp(folder, copy, { recursive: true })

    const going = clientOf(stage, folder)
    await going.connect(WITHIN)
    for (const text of ['two', 'three']) await going.room(room.id).send(text)
    await going.close()

    // Its numbers 2, 3 … are taken by other messages; it must notice, and say what it has to say all the same.
    const restored = clientOf(stage, copy)
    await restored.connect(WITHIN)
    const there = restored.room(room.id)
    await there.send('zwei')
    await Promise.all(['drei', 'vier'].map((text) => there.send(text)))
    t.same(said(await there.history()), [
      ...['(created)', 'one', 'two', 'three', 'zwei', 'drei', 'vier'],
    ])
    await restored.close()
  })
}
