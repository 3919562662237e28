import t from 'tap'
import { writeLive } from '../protocol/envelopes.ts'
import { Writer } from '../protocol/writer.ts'
import { liveSubject } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import { eventFrame } from '../testing/gateway/scripted-host.ts'
import { TestClient } from '../testing/gateway/test-client.ts'
import { ALL, startWorld } from '../testing/gateway/world.ts'

const ROOM = 'gRoomOfTheTest'

t.test('hello, send, ack, delivery by handle, live', async (t) => {
  const world = await startWorld(t)
  const host = await world.host()
  await host.own(ALL, 1)
  const gateway = await world.gateway()
  const alice = await TestClient.login(gateway.url, 'uAlice/vA1')
  t.match(alice.of('welcome')[0], {
    user: 'uAlice',
    device: 'vA1',
    lineage: 77,
    resume: 'uAlice/vA1',
    textLimit: 8192,
    cursor: { stream: 's1', position: 1 },
    full: true,
  })
  alice.text(ROOM, 1, 'hello')
  t.match(await alice.frame('ack', 1), { seq: 1, id: 1n, time: 1001 })
  const sent = host.commands.at(-1)
  t.match(sent, { kind: 'room', user: 'uAlice', device: 'vA1', attempt: 1 })

  host.deliver(gateway.id, [sent?.handle ?? 0], eventFrame(ROOM, 2, 'by handle'))
  t.match(await alice.frame('event'), { seq: 2, room: ROOM })
  world.bus.publish(
    liveSubject('uAlice' as never),
    writeLive(new Writer(), undefined, eventFrame(ROOM, 3, 'live')).take(),
  )
  await eventually('the live frame', () => alice.of('event')[1]?.seq === 3)
  alice.close()
  await eventually('the actor is told of the end', () => host.commands.some((c) => c.token === 0))
})
