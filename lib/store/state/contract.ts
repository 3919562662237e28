/** What every StateStore must do. `open(name)` opens the store of that name, empty at its first opening. */
import fc from 'fast-check'
import type { Test } from 'tap'
import { parseRoomId, parseUserId, type RoomId, type UserId } from '../../ids.ts'
import type { RoomSnapshot, StateStore, UserRow } from './state.ts'

export type OpenState = (name: string) => Promise<StateStore>

const parsed = <T>(id: T | undefined): T => {
  if (id === undefined) throw new Error('not an id')
  return id
}
const room = (id: string): RoomId => parsed(parseRoomId(id))
const user = (id: string): UserId => parsed(parseUserId(id))

const utf8 = new TextEncoder()
const text = new TextDecoder()
const snapshot = (of: RoomId, position: number, state = `${of} at ${position}`): RoomSnapshot => ({
  room: of,
  position,
  state: utf8.encode(state),
})
const entry = (of: UserId, key: string, position: number, value?: string): UserRow => ({
  user: of,
  key,
  position,
  value: utf8.encode(value ?? `${key} at ${position}`),
})
const shown = (rows: readonly UserRow[]) =>
  rows.map(({ key, position, value }) => [key, position, text.decode(value)])

const A = room('gaaaaaaaaaaaaaaaaaaaaa')
const ANN = user('uann')
const BOB = user('ubob')

export const stateContract = (t: Test, open: OpenState): void => {
  const using = (name: string, check: (t: Test, store: StateStore) => Promise<void>) =>
    t.test(name, async (t) => {
      const store = await open(name.replaceAll(' ', '-'))
      try {
        await check(t, store)
      } finally {
        await store.close()
      }
    })

  void using('an empty store knows nothing', async (t, store) => {
    t.equal(await store.room(A), undefined)
    t.same(await store.user(ANN), [])
    t.equal(await store.partition('timers.0'), undefined)
    await store.saveRooms([])
    await store.saveUsers([])
  })

  void using('the higher position wins, whoever writes last', async (t, store) => {
    await store.saveRooms([snapshot(A, 5)])
    await store.saveRooms([snapshot(A, 3)])
    t.same(await store.room(A), snapshot(A, 5))
    await store.saveRooms([snapshot(A, 9), snapshot(A, 7)])
    t.same(await store.room(A), snapshot(A, 9), 'within one call as well')

    await store.saveUsers([entry(ANN, 'k', 5), entry(ANN, 'k', 8), entry(ANN, 'k', 2)])
    await store.saveUsers([entry(ANN, 'k', 7)])
    t.same(shown(await store.user(ANN)), [['k', 8, 'k at 8']])

    await store.savePartition('timers.0', 4, utf8.encode('four'))
    await store.savePartition('timers.0', 2, utf8.encode('two'))
    const timers = await store.partition('timers.0')
    t.equal(timers?.position, 4)
    t.equal(text.decode(timers?.value), 'four')
  })

  void using('rows are dropped unless they have risen', async (t, store) => {
    await store.dropUsers([])
    await store.saveUsers([entry(ANN, 'a', 5), entry(ANN, 'b', 5), entry(ANN, 'c', 5)])
    await store.saveUsers([entry(BOB, 'a', 5)])
    await store.dropUsers([
      { user: ANN, key: 'a', position: 5 },
      { user: ANN, key: 'b', position: 4 },
      { user: ANN, key: 'c', position: 9 },
      { user: ANN, key: 'none', position: 9 },
    ])
    t.same(shown(await store.user(ANN)), [['b', 5, 'b at 5']])
    t.same(shown(await store.user(BOB)), [['a', 5, 'a at 5']])
    await store.saveUsers([entry(ANN, 'a', 6)])
    t.same(shown(await store.user(ANN))[0], ['a', 6, 'a at 6'], 'it may come again')

    await Promise.all([
      store.saveUsers([entry(ANN, 'x', 7), entry(ANN, 'y', 3)]),
      store.dropUsers(['x', 'y', 'b'].map((key) => ({ user: ANN, key, position: 5 }))),
      store.saveUsers([entry(ANN, 'b', 8)]),
    ])
    t.same(
      shown(await store.user(ANN)).map(([key, position]) => [key, position]),
      [
        ['a', 6],
        ['b', 8],
        ['x', 7],
      ],
      'all at once',
    )
  })

  void using('any order of writes, also all at once, ends the same', async (t, store) => {
    let run = 0
    const write = fc.record({ key: fc.constantFrom('a', 'b', 'c'), position: fc.nat(1000) })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(write, { maxLength: 6 }), { maxLength: 8 }),
        async (calls) => {
          const mine = user(`u${++run}`)
          await Promise.all(
            calls.map((rows) =>
              store.saveUsers(rows.map(({ key, position }) => entry(mine, key, position))),
            ),
          )
          const highest = new Map<string, number>()
          for (const { key, position } of calls.flat()) {
            highest.set(key, Math.max(position, highest.get(key) ?? 0))
          }
          t.same(
            shown(await store.user(mine)),
            [...highest].sort().map(([key, position]) => [key, position, `${key} at ${position}`]),
          )
        },
      ),
      { numRuns: 40, seed: 7 },
    )
  })

  void using('a replay changes nothing', async (t, store) => {
    const rows = [entry(ANN, 'a', 1), entry(ANN, 'b', 2)]
    await store.saveUsers(rows)
    await store.saveUsers([entry(ANN, 'b', 3)])
    await store.saveUsers(rows)
    t.same(shown(await store.user(ANN)), [
      ['a', 1, 'a at 1'],
      ['b', 3, 'b at 3'],
    ])
    await store.saveRooms([snapshot(A, 1)])
    await store.saveRooms([snapshot(A, 1)])
    t.same(await store.room(A), snapshot(A, 1))
  })

  void using('rows of a user come in key order and are only theirs', async (t, store) => {
    const people = ['u', 'ua', 'uann', 'uann-', 'uann_', 'uann1', `u${'z'.repeat(31)}`].map(user)
    const keys = ['', 'A', 'Z', 'a', 'a.b', 'aa', 'device.v1', 'gaaaaaaaa', 'z', 'é', '中']
    for (const id of people) {
      await store.saveUsers([...keys].reverse().map((key) => entry(id, key, 1, `${id}/${key}`)))
    }
    for (const id of people) {
      t.same(
        shown(await store.user(id)),
        keys.map((key) => [key, 1, `${id}/${key}`]),
      )
    }
    t.same(await store.user(BOB), [])
  })

  void using('values come back byte for byte', async (t, store) => {
    const everyByte = Uint8Array.from({ length: 256 }, (_, n) => n)
    const large = Uint8Array.from({ length: 300_000 }, (_, n) => (n * 17) & 0xff)
    await store.saveRooms([{ room: A, position: 2 ** 40, state: large }])
    const stored = await store.room(A)
    t.equal(stored?.position, 2 ** 40)
    t.equal(Buffer.compare(stored?.state ?? new Uint8Array(), large), 0)

    await store.saveUsers([
      { user: ANN, key: 'all', position: 1, value: everyByte },
      { user: ANN, key: 'none', position: 0, value: new Uint8Array() },
    ])
    const [all, none] = await store.user(ANN)
    t.equal(Buffer.compare(all?.value ?? new Uint8Array(), everyByte), 0)
    t.equal(none?.value.byteLength, 0)
    t.equal(none?.position, 0)
  })

  void using('thousands of rows', async (t, store) => {
    const people = Array.from({ length: 50 }, (_, n) => user(`u${n}`))
    const keys = Array.from({ length: 100 }, (_, n) => `g${String(n).padStart(9, '0')}`)
    for (const id of people) await store.saveUsers(keys.map((key, n) => entry(id, key, n + 1)))
    const rooms = keys.map((key, n) => snapshot(room(key), n + 1))
    await store.saveRooms(rooms)
    for (const id of people)
      t.same(
        (await store.user(id)).map(({ key }) => key),
        keys,
      )
    t.same(await store.room(room('g000000042')), rooms[42])
  })

  void using('partitions keep apart', async (t, store) => {
    await store.savePartition('timers.1', 1, utf8.encode('one'))
    await store.savePartition('timers.10', 2, utf8.encode('ten'))
    t.equal(text.decode((await store.partition('timers.1'))?.value), 'one')
    t.equal(text.decode((await store.partition('timers.10'))?.value), 'ten')
    t.equal(await store.partition('timers'), undefined)
  })

  void t.test('everything survives closing', async (t) => {
    const first = await open('reopened')
    await first.saveRooms([snapshot(A, 5)])
    await first.saveUsers([entry(ANN, 'k', 5)])
    await first.savePartition('p', 5, utf8.encode('five'))
    await first.close()
    const second = await open('reopened')
    t.teardown(() => second.close())
    t.same(await second.room(A), snapshot(A, 5))
    await second.saveRooms([snapshot(A, 4)])
    t.same(await second.room(A), snapshot(A, 5), 'a late write of the former run is kept out')
    t.same(shown(await second.user(ANN)), [['k', 5, 'k at 5']])
    t.equal((await second.partition('p'))?.position, 5)
  })

  void t.test('after closing everything is refused', async (t) => {
    const store = await open('closed')
    await store.close()
    await store.close()
    await t.rejects(store.saveRooms([snapshot(A, 1)]), { code: 'unavailable' })
    await t.rejects(store.room(A), { code: 'unavailable' })
    await t.rejects(store.user(ANN), { code: 'unavailable' })
    await t.rejects(store.partition('p'), { code: 'unavailable' })
  })
}
