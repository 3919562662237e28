import t from 'tap'
import { ANN, BEN, scene } from './testing/scene.ts'

t.test(
  'N4 a lineage that the room has forgotten: the history is searched, across its pages',
  async (t) => {
    const { server, connected, reach, time } = scene()
    server.account('ben')
    const client = await connected()
    const room = await reach(client.dm('@ben'))
    await reach(room.send('first'))
    const model = server.rooms.get(room.id)!
    server.deaf = true
    const acks = ['arrived', 'arrived', 'also'].map((text) => room.send(text))
    await time.advance(200)
    t.equal(model.head, 4, 'the room has them, the acks were lost')
    for (let n = 0; n < 600; n++) model.say(BEN, `${n}`)
    model.evict(ANN)
    server.deaf = false
    server.cut()
    const [one, two, three] = await reach(Promise.all(acks))
    t.strictSame([one?.seq, two?.seq, three?.seq], [2, 3, 4])
    t.match(await reach(room.send('next')), { seq: 605 })
    await client.close()
  },
)

t.test('N4 in a dm that does not exist yet nothing was sent', async (t) => {
  const { server, connected, reach } = scene()
  server.account('ben')
  const client = await connected()
  const room = await reach(client.dm('@ben'))
  server.meddle = (frame) => (frame.name === 'send' ? 'blocked' : undefined)
  await t.rejects(reach(room.send('x')), { code: 'blocked' })
  let asked = 0
  server.meddle = (frame) => {
    if (frame.name === 'fetch' && asked++ === 0) return 'not_member'
    return frame.name === 'send' && frame.n > 1 ? 'unknown_lineage' : undefined
  }
  t.match(await reach(room.send('y')), { seq: 1 })
  t.ok(asked > 0, 'the history was asked')
  await client.close()
})

t.test(
  'N4 a group whose history may no longer be read: nobody can tell, so it is not sent again',
  async (t) => {
    const { server, connected, reach } = scene()
    server.account('ben')
    const client = await connected()
    const room = await reach(client.createGroup({ title: 'x', members: ['@ben'] }))
    server.meddle = (frame) =>
      frame.name === 'send' ? 'unknown_lineage' : frame.name === 'fetch' ? 'not_member' : undefined
    await t.rejects(reach(room.send('x')), { code: 'not_member' })
    await client.close()
  },
)
