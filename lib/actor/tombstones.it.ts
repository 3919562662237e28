import t from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { user } from '../../actors/user/user.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { RoomId, UserId } from '../ids.ts'
import { encodeFrame } from '../protocol/codec.ts'
import type { Cursor } from '../protocol/frames.ts'
import { eventually } from '../testing/eventually.ts'
import { HostClient } from '../testing/host-client.ts'
import { HouseDevice, startHouse } from '../testing/house.ts'
import { TOMBSTONE_MS } from './tombstones.ts'

const ANN = 'uAnn' as UserId
const BEN = 'uBen' as UserId
const LONG = { within: 20_000 }
const groupOf = (name: string) => `gGroup${name}`.padEnd(22, '_') as RoomId
const numbered = (room: RoomId, n: number) => ({
  req: n,
  room,
  lineage: 9,
  join: 0,
  n,
  low: n,
})

t.test('I4 tombstones are dropped after 30 days, and that survives restarts', async (t) => {
  const house = await startHouse(t, { room: createRoomBehavior(), user }, { partitions: 1 })
  const asks = new HostClient(house.outside)
  t.teardown(() => asks.close())
  await house.account(BEN)
  const gateway = await house.gateway()

  let host = await house.host()
  /** Another host, with so many more days on the clock. */
  const next = async (days: number) => {
    const clock: Clock = {
      now: () => systemClock.now() + days * 86_400_000,
      monotonic: () => systemClock.monotonic(),
    }
    host = await house.host({ clock })
  }
  const done = async (asker: UserId, frame: Uint8Array) => {
    const [asked] = asks.ask(host.incarnation, asker, frame)
    const answer = await eventually('an answer', () => asked!.answer)
    t.equal(answer.name, 'ack')
  }
  const create = (name: string) =>
    done(
      ANN,
      encodeFrame('create', {
        ...numbered(groupOf(name), 1),
        title: name,
        openHistory: true,
        members: [BEN],
      }),
    )
  let ben = new HouseDevice(BEN, 'vBen')
  const login = async () => {
    ben = new HouseDevice(BEN, 'vBen')
    return ben.login(gateway)
  }
  const sync = async (cursor: Cursor | null) => {
    const req = ben.client.nextReq
    ben.client.send('sync', { req, cursor })
    const frame = await eventually('an answer', () =>
      ben.client.frames.find((f) => (f.name === 'changes' || f.name === 'error') && f.req === req),
    )
    if (frame.name !== 'changes') throw new Error(JSON.stringify(frame))
    const { full, changes, ...rest } = frame
    return { full, rooms: changes.map(({ title, flags }) => [title, flags]), cursor: rest.cursor! }
  }
  const until = (what: string, check: (rooms: unknown[]) => boolean) =>
    eventually(
      what,
      async () => {
        const all = await sync(null)
        return check(all.rooms) && all
      },
      { ...LONG, every: 200 },
    )

  await login()
  for (const name of ['kept', 'left']) await create(name)
  const before = await until('both are told of', (rooms) => rooms.length === 2)
  await done(ANN, encodeFrame('remove', { ...numbered(groupOf('left'), 2), user: BEN }))
  const told = await until('the removal is told of', (rooms) =>
    JSON.stringify(rooms).includes('1]'),
  )
  await create('newer')
  await until('the newer is told of', (rooms) => rooms.length === 3)
  t.strictSame(await sync(before.cursor), {
    full: false,
    rooms: [
      ['newer', 0],
      ['left', 1],
    ],
    cursor: (await sync(null)).cursor,
  })

  await host.drain(systemClock.monotonic() + 5000)
  await next(TOMBSTONE_MS / 86_400_000 + 1)
  await eventually('the gateway has found it', () => login(), LONG)
  const rooms = [
    ['newer', 0],
    ['kept', 0],
  ]
  await until('it is dropped', (rooms) => rooms.length === 2)
  t.match(await sync(before.cursor), { full: true, rooms })
  t.match(await sync(told.cursor), { full: false, rooms: [['newer', 0]] })

  await host.drain(systemClock.monotonic() + 5000)
  await next(0)
  await eventually('the gateway has found it', () => login(), LONG)
  t.match(await sync(before.cursor), { full: true, rooms })
  t.match(await sync(told.cursor), { full: false, rooms: [['newer', 0]] })
})
