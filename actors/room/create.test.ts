import t from 'tap'
import type { UserId } from '../../lib/ids.ts'
import { createRoomBehavior, room } from './room.ts'
import { ANN, BEN, CAT, DM, EVE, GROUP, groupScene, saying, scene } from './scene.ts'
import { ROLE } from './state.ts'

t.test('N5 creation is command 1 of its creator, once', async (t) => {
  const it = scene(room, GROUP)
  const make = it.create({ n: 1 }, [BEN, CAT], { title: 'Trip', openHistory: true })
  const { answer, records, heard } = it.when(ANN, make)
  t.match(answer, { kind: 'ack', seq: 1 })
  t.match(records, [{ kind: 'event', seq: 1, ord: 0, type: 0, lineage: 100, n: 1 }])
  t.strictSame(heard[0]?.by, [ANN, BEN, CAT])
  t.match(it.when(ANN, it.open(100)).answer, {
    info: {
      head: 1,
      ord: 0,
      from: 1,
      join: 0,
      lastN: 1,
      role: ROLE.owner,
      title: 'Trip',
      openHistory: true,
      members: [
        { user: ANN, role: ROLE.owner },
        { user: BEN, role: ROLE.member },
        { user: CAT, role: ROLE.member },
      ],
    },
  })
  t.match(it.when(BEN, it.open()).answer, { info: { join: 1, from: 1, role: ROLE.member } })
  t.strictSame(it.when(ANN, make), { answer, records: [], heard: [] })
  it.move('log')
  t.strictSame(it.when(ANN, make).answer, answer)
})

t.test('N5 a group that exists is not made again', async (t) => {
  const it = groupScene()
  for (const user of [BEN, EVE]) {
    const { answer, records } = it.when(user, it.create({ n: 1 }, [ANN]))
    t.equal(saying(answer), 'exists')
    t.strictSame(records, [])
  }
  const other = it.when(ANN, it.create({ n: 3 }, [EVE]))
  t.equal(saying(other.answer), 'exists')
  t.match(other.records, [{ kind: 'spent', n: 3 }], 'a member’s refusal for good')
  t.equal(saying(it.when(ANN, it.create({ n: 1 }, [EVE])).answer), 'settled')
})

t.test('N5 what is no creation is refused', async (t) => {
  const it = scene(room, GROUP)
  const dm = scene(room, DM)
  t.equal(saying(it.when(ANN, it.create({ n: 2, low: 2 }, [])).answer), 'bad_request')
  t.equal(saying(it.when(ANN, it.create({ n: 1, join: 1 }, [])).answer), 'bad_request')
  t.equal(saying(dm.when(ANN, dm.create({ n: 1 }, [BEN])).answer), 'bad_request')
  t.equal(it.log.length + dm.log.length, 0)
})

t.test('naming a user twice or oneself changes nothing', async (t) => {
  const it = scene(room, GROUP)
  it.when(ANN, it.create({ n: 1 }, [BEN, ANN, BEN]))
  t.strictSame(it.state.recipients, [ANN, BEN])
  t.equal(it.state.members.get(ANN)?.role, ROLE.owner)
})

t.test('a group holds as many as the limit says', async (t) => {
  const users = Array.from({ length: 256 }, (_, i) => `u${i}` as UserId)
  const it = scene(room, GROUP)
  t.equal(saying(it.when(ANN, it.create({ n: 1 }, users)).answer), 'limit')
  t.equal(saying(it.when(ANN, it.create({ n: 1 }, users.slice(1))).answer), 'ack')
  t.equal(it.state.recipients.length, 256)
  t.equal(saying(it.when(ANN, it.add({ n: 2 }, [EVE])).answer), 'limit')

  const small = scene(createRoomBehavior({ members: 2 }), GROUP)
  t.equal(saying(small.when(ANN, small.create({ n: 1 }, [BEN, CAT])).answer), 'limit')
  t.equal(saying(small.when(ANN, small.create({ n: 1 }, [BEN])).answer), 'ack')
})
