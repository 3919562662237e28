/** Durable queues: the server keeps a device's place, at least once, for that device alone (contracts I5). */
import { jetstreamManager } from '@nats-io/jetstream'
import type { Test } from 'tap'
import { withConnection } from '../../../lib/bus/provisioning.ts'
import { dmId, type RoomId } from '../../../lib/ids.ts'
import { eventually } from '../../../lib/testing/eventually.ts'
import { readRunInfo } from '../../roles/run-info.ts'
import { call, codeOf, Device, eventsIn, login, type Queued, register } from '../device.ts'
import type { Server } from '../server.ts'

const SOON = { within: 30_000 }

/** Sequences of a room that entries brought. */
const seqsIn = (entries: readonly Queued[], room: RoomId): Set<number> =>
  new Set(entries.flatMap((entry) => eventsIn(entry, room)).map(({ seq }) => seq))

const brings = (device: Device, room: RoomId, seq: number): Promise<Queued[]> =>
  eventually(
    `an entry brings ${seq}`,
    () => seqsIn(device.queued, room).has(seq) && device.queued,
    SOON,
  )

const turnOn = async (t: Test, device: Device, on = true): Promise<void> => {
  t.equal((await device.wire.ask('queue', { on })).name, 'ok')
}

/** Names of all durable queues' consumers. */
const consumers = (server: Server): Promise<string[]> =>
  withConnection(readRunInfo(server.data)?.nats ?? [], async (connection) => {
    const names: string[] = []
    for await (const { name } of (await jetstreamManager(connection)).consumers.list('QUEUE_0')) {
      names.push(name)
    }
    return names
  })

export const queuePromises = (t: Test, server: Server): void => {
  t.test('I5: a queue keeps the place of its device, over restarts too', async (t) => {
    const [ann, bob] = [await register(server, 'i5.ann'), await register(server, 'i5.bob')]
    const room = dmId(ann.user, bob.user)
    const sender = await Device.open(server, bob)
    const first = await Device.open(server, ann)
    await turnOn(t, first)
    for (const n of [1, 2, 3]) await sender.send(room, n, `message ${n}`, { peer: ann.user })
    const entries = await brings(first, room, 4)
    t.same(
      entries.map(({ n }) => n),
      entries.map((_, i) => i + 1),
      'numbered 1, 2, 3 …',
    )
    t.same([...seqsIn(entries, room)].sort(), [1, 2, 3, 4], 'with the events')
    t.match(entries.at(-1)?.pointer, { room, head: 4, preview: 'message 3' })
    const acked = entries.at(-1)!.n
    t.equal((await first.wire.ask('queueAck', { n: acked })).name, 'ok')
    await first.close()

    for (const n of [4, 5]) await sender.send(room, n, `message ${n}`, { peer: ann.user })
    const second = await Device.open(server, ann)
    const later = await brings(second, room, 6)
    t.equal(later[0]?.n, acked + 1, 'goes on after what was acked')
    t.notOk(seqsIn(later, room).has(4), 'and brings nothing of that again')
    await second.close()

    await server.killAll()
    await server.start()
    const third = await Device.open(server, ann)
    const again = await brings(third, room, 6)
    t.equal(again[0]?.n, acked + 1, 'what was not acked comes again')
    await turnOn(t, third, false)
    t.notOk((await consumers(server)).includes(ann.device), 'given up, nothing is kept')
    await third.close()
  })

  t.test('I5: the queue of another user, or of another device', async (t) => {
    const [ann, bob, eve] = await Promise.all(
      ['i5.owner', 'i5.friend', 'i5.eve'].map((name) => register(server, name)),
    )
    const room = dmId(ann!.user, bob!.user)
    const owner = await Device.open(server, ann!)
    await turnOn(t, owner)
    const stranger = await Device.open(server, eve!)
    await turnOn(t, stranger)
    const sibling = await Device.open(server, await login(server, 'i5.owner'))
    const friend = await Device.open(server, bob!)
    t.equal(codeOf(await sibling.wire.ask('queueAck', { n: 1 })), 'bad_request', 'it has none')
    await friend.send(room, 1, 'for Ann alone', { peer: ann!.user })
    const entries = await brings(owner, room, 2)
    // There is no way to name a queue that is not one's own; an ack counts for that one only.
    for (const n of [1, entries.at(-1)!.n, 1_000]) {
      await stranger.wire.ask('queueAck', { n })
      await sibling.wire.ask('queueAck', { n })
    }
    t.same(stranger.queued, [])
    t.same(sibling.queued, [])
    await owner.close()
    const again = await Device.open(server, ann!)
    t.same(
      (await brings(again, room, 2)).map(({ n }) => n),
      entries.map(({ n }) => n),
      'nobody else has acked what the owner did not',
    )
    for (const device of [again, stranger, sibling, friend]) await device.close()
  })

  t.test('I5: a removed device leaves no queue behind', async (t) => {
    const ann = await register(server, 'i5.gone')
    const there = await login(server, 'i5.gone')
    const device = await Device.open(server, there)
    await turnOn(t, device)
    t.ok((await consumers(server)).includes(there.device), 'it had one')
    const path = `/v1/devices/${there.device}`
    t.equal((await call(server, 'DELETE', path, { token: ann.accessToken })).status, 204)
    await device.wire.closed
    await eventually(
      'its consumer is gone',
      async () => !(await consumers(server)).includes(there.device),
      SOON,
    )
  })
}
