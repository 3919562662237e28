import t from 'tap'
import { BadFrame } from '../../lib/protocol/reader.ts'
import type { RoomRecord } from '../../lib/protocol/records.ts'
import { room } from './room.ts'
import { ANN, BEN, CAT, DM, dmScene, EVE, GROUP, groupScene } from './scene.ts'

const busy = () => {
  const it = groupScene({ openHistory: false })
  it.when(CAT, it.send({ n: 1, join: 1 }, 'hello'))
  it.when(CAT, it.add({ n: 2, join: 1, low: 1 }, [EVE]))
  it.when(ANN, it.remove({ n: 3, low: 2 }, CAT))
  it.when(ANN, it.add({ n: 4, low: 3 }, [CAT, EVE]))
  it.when(BEN, it.leave({ n: 1, join: 1 }))
  return it
}

t.test('a snapshot holds all of a room', async (t) => {
  for (const it of [dmScene(), groupScene(), busy()]) {
    const bytes = room.encode(it.state)
    const again = room.decode(it.log[0]!.room, bytes)
    t.strictSame(room.encode(again), bytes)
    for (const user of [ANN, BEN, CAT, EVE]) {
      t.strictSame(room.pointer(again, user), room.pointer(it.state, user))
    }
    t.strictSame(again.members, it.state.members)
    t.strictSame(again.former, it.state.former)
    t.strictSame(again.recipients, it.state.recipients)
  }
  const none = room.empty(GROUP)
  t.strictSame(room.encode(room.decode(GROUP, room.encode(none))), room.encode(none))
})

t.test('a damaged snapshot is refused, wherever the damage is', async (t) => {
  const bytes = room.encode(busy().state)
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice()
    damaged[at] = damaged[at]! ^ (1 << (at % 8))
    t.throws(() => room.decode(GROUP, damaged), BadFrame, `byte ${at}`)
    t.throws(() => room.decode(GROUP, bytes.subarray(0, at)), BadFrame, `cut at ${at}`)
  }
  t.throws(() => room.decode(GROUP, Uint8Array.of(...bytes, 0)), BadFrame, 'too long')
})

t.test('a snapshot of another version or room is refused', async (t) => {
  const bytes = room.encode(dmScene().state)
  t.throws(() => room.decode(GROUP, bytes), { name: 'BadFrame', message: /another room/ })
  bytes[0] = 2
  t.throws(() => room.decode(DM, bytes), { name: 'BadFrame', message: /version 2/ })
})

t.test('a log that does not fit is not folded', async (t) => {
  const it = dmScene()
  const last = it.log.at(-1)!
  t.throws(() => room.evolve(it.state, last), /event 2 after head 2/, 'twice')
  if (last.kind !== 'event') throw new Error('a message expected')
  t.throws(() => room.evolve(it.state, { ...last, seq: 4 }), /event 4 after head 2/, 'with a hole')
  t.throws(() => room.evolve(it.state, { ...last, seq: 3, type: 99 }), BadFrame, 'of the future')
  const { state } = groupScene()
  const short: RoomRecord = { ...last, room: GROUP, seq: 3, type: 5, body: Uint8Array.of(0x90) }
  t.throws(() => room.evolve(state, short), BadFrame, 'with half a body')
})
