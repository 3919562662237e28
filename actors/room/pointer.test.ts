import t from 'tap'
import { Writer } from '../../lib/protocol/writer.ts'
import { messageBody } from './bodies.ts'
import { previewOf } from './preview.ts'
import { room } from './room.ts'
import { ANN, BEN, CAT, DM, dmScene, EVE, GROUP, groupScene, scene } from './scene.ts'
import { ROLE } from './state.ts'

const preview = (text: string): string => previewOf(messageBody(new Writer().str(text).take()))

t.test('I1 a pointer is the whole of what a room is for a user', async (t) => {
  const it = groupScene({ title: 'Trip' })
  it.at(5_000)
  it.when(CAT, it.send({ n: 1, join: 1 }, 'hello'))
  t.strictSame(room.pointer(it.state, BEN), {
    room: GROUP,
    version: 0,
    head: 3,
    ord: 1,
    time: 5_001,
    read: 1,
    readOrd: 0,
    from: 1,
    join: 1,
    role: ROLE.admin,
    flags: 0,
    title: 'Trip',
    sender: CAT,
    preview: 'hello',
  })
  t.equal(room.head(it.state), 3)
})

t.test('I1 a dm is titled by its other side', async (t) => {
  const it = dmScene()
  t.match(room.pointer(it.state, ANN), { title: BEN, join: 0, from: 1, sender: ANN })
  t.match(room.pointer(it.state, BEN), { title: ANN, join: 0, from: 1, preview: 'hello' })
})

t.test('I4 a stranger has no pointer', async (t) => {
  t.equal(room.pointer(groupScene().state, EVE), undefined)
  t.equal(room.pointer(scene(room, DM).state, ANN), undefined)
})

t.test('I4 a pointer shows nothing from before the join', async (t) => {
  const it = groupScene()
  it.when(CAT, it.send({ n: 1, join: 1 }, 'not for Eve'))
  it.when(ANN, it.add({ n: 3 }, [EVE]))
  t.match(room.pointer(it.state, EVE), { head: 4, from: 4, join: 4, preview: null, sender: ANN })
  t.match(room.pointer(it.state, BEN), { head: 4, preview: 'not for Eve' })
})

t.test('I4 after a removal a pointer stays at it', async (t) => {
  const it = groupScene()
  it.at(5_000)
  it.when(CAT, it.send({ n: 1, join: 1 }, 'last that Cat sees'))
  it.when(BEN, it.remove({ n: 1, join: 1 }, CAT))
  const last = room.pointer(it.state, CAT)
  t.match(last, {
    head: 4,
    ord: 1,
    time: 5_002,
    read: 3,
    readOrd: 1,
    from: 1,
    join: 1,
    role: ROLE.member,
    flags: 1,
    sender: BEN,
    preview: 'last that Cat sees',
  })
  it.when(ANN, it.send({ n: 3 }, 'without Cat'))
  t.strictSame(room.pointer(it.state, CAT), last)
  it.move('snapshot')
  t.strictSame(room.pointer(it.state, CAT), last)
})

t.test('I4 who was removed before any message has no preview', async (t) => {
  const it = groupScene()
  it.when(ANN, it.send({ n: 3 }, 'before'))
  it.when(ANN, it.add({ n: 4 }, [EVE]))
  it.when(ANN, it.remove({ n: 5 }, EVE))
  t.match(room.pointer(it.state, EVE), { head: 5, from: 4, flags: 1, preview: null })
})

t.test('a preview is 80 characters, 256 bytes, and never half a character', async (t) => {
  t.equal(preview('short'), 'short')
  t.equal(preview('x'.repeat(80)), 'x'.repeat(80))
  t.equal(preview('x'.repeat(81)), 'x'.repeat(80))
  t.equal(preview('é'.repeat(100)), 'é'.repeat(80))
  t.equal(preview('漢'.repeat(100)), '漢'.repeat(80))
  t.equal(preview('😀'.repeat(100)), '😀'.repeat(64))
  t.equal(preview(`${'漢'.repeat(40)}${'😀'.repeat(40)}`), `${'漢'.repeat(40)}${'😀'.repeat(34)}`)
  t.equal(preview(`x${'😀'.repeat(100)}`), `x${'😀'.repeat(63)}`)
  t.equal(preview('\ufeffx'), '\ufeffx')
  for (const length of [31, 32, 255, 256, 65535, 65536]) {
    t.equal(preview('y'.repeat(length)), 'y'.repeat(Math.min(80, length)), `${length} bytes`)
  }
})

t.test('a preview of a long message outlives its bytes', async (t) => {
  const it = dmScene()
  it.when(ANN, it.send({ n: 2 }, '😀'.repeat(2_000)))
  const held = it.state.newestBody
  t.ok(held !== undefined && held.buffer.byteLength < 300, 'only the beginning is held')
  t.match(room.pointer(it.state, BEN), { preview: '😀'.repeat(64) })
  it.move('snapshot')
  t.match(room.pointer(it.state, BEN), { preview: '😀'.repeat(64) })
})
