import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { ACCOUNT_KEY, type Changes, DROPPED_KEY, type UserEntry } from '../../lib/actor/behavior.ts'
import type { DeviceId, UserId } from '../../lib/ids.ts'
import { encodeAccount } from '../../lib/protocol/account.ts'
import { readValue } from '../../lib/protocol/codec.ts'
import type { Wire } from '../../lib/protocol/fields.ts'
import { type Cursor, LIMITS, type Pointer } from '../../lib/protocol/frames.ts'
import { POINTER } from '../../lib/protocol/pointer.ts'
import { Reader } from '../../lib/protocol/reader.ts'
import { accountOf, pointerBytes, pointerOf, removed, roomId } from '../../lib/testing/pointers.ts'
import { PAGE } from './changes.ts'
import { type User, user } from './user.ts'

const ANN = 'uAnn' as UserId
const BOB = 'uBob' as UserId
const V1 = 'v1' as DeviceId
const STREAM = 's1'

const entryOf = (room: number | string, version: number, position: number): UserEntry => {
  const pointer = pointerOf(roomId(room), version)
  return { key: pointer.room, version, position, value: pointerBytes(pointer) }
}

const accountEntry = (version: number, more: Parameters<typeof accountOf>[2] = {}): UserEntry => ({
  key: ACCOUNT_KEY,
  version,
  position: version,
  value: encodeAccount(accountOf(ANN, version, more)),
})

const decode = (bytes: Uint8Array): Pointer =>
  readValue(new Reader(bytes), POINTER as unknown as Wire) as Pointer

/** What a device knows, as the protocol tells it to take changes in. */
class Device {
  cursor: Cursor | null = null
  readonly known = new Map<string, number>()
  /** Rooms that it was told were left, with the version that said so. */
  readonly left = new Map<string, number>()
  #listed: Set<string> | undefined

  take({ cursor, full, more, pointers }: Changes): void {
    assert.ok(pointers.length <= LIMITS.pointers, 'a page is bounded')
    if (full) this.#listed ??= new Set()
    for (const bytes of pointers) {
      const { room, version, flags } = decode(bytes)
      if (flags === 1) this.left.set(room, version)
      this.#listed?.add(room)
      if (version > (this.known.get(room) ?? 0)) this.known.set(room, version)
    }
    this.cursor = cursor
    if (more) return
    if (full)
      for (const room of this.known.keys()) if (!this.#listed?.has(room)) this.known.delete(room)
    this.#listed = undefined
  }
}

/** Rooms that the user's newest pointers are of, with their versions. */
const truth = (state: User): Record<string, number> =>
  Object.fromEntries([...state.pointers].map(([key, { version }]) => [key, version]))

const pagesTo = (state: User, device: Device, head: number, between: () => number = () => head) => {
  for (let pages = 0; ; pages++) {
    assert.ok(pages < 1000, 'paging ends')
    const changes = user.changes(state, device.cursor, STREAM, between())
    device.take(changes)
    if (!changes.more) return
  }
}

t.test('I1 the fold keeps the higher version, whatever the order and repetition', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 1, max: 20 }))),
      (list) => {
        const state = user.empty(ANN)
        const best = new Map<string, number>()
        list.forEach(([room, version], i) => {
          const entry = entryOf(room, version, i + 1)
          const newer = version > (best.get(entry.key) ?? 0)
          assert.equal(user.fold(state, entry), newer)
          assert.equal(user.fold(state, entry), false, 'once is enough')
          if (newer) best.set(entry.key, version)
        })
        assert.deepEqual(truth(state), Object.fromEntries(best))
      },
    ),
  )
})

t.test(
  'I4 paged to the end and synced from its cursor, a device has the newest of every room',
  async () => {
    const step = fc.record({
      /** Pointers that one inbox message holds. */
      batch: fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 60 }),
      /** The device asks for a page after it. */
      asks: fc.boolean(),
    })
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 600 }),
        fc.array(step, { maxLength: 25 }),
        fc.boolean(),
        (rooms, steps, former) => {
          const state = user.empty(ANN)
          const device = new Device()
          let head = 0
          let version = 0
          const message = (batch: readonly number[]) => {
            head++
            for (const room of batch) user.fold(state, entryOf(room, ++version, head))
          }
          for (let i = 0; i < rooms; i += 50) {
            message(Array.from({ length: Math.min(50, rooms - i) }, (_, k) => i + k))
          }
          // A device of another stream, which believes to know a room that is not there any more.
          if (former) {
            device.cursor = { stream: 's0', position: 3 }
            device.known.set(roomId('former'), 7)
          }
          for (const { batch, asks } of steps) {
            message(batch)
            if (asks) device.take(user.changes(state, device.cursor, STREAM, head))
          }
          // To the end while more comes in, then once more from the cursor.
          let left = 3
          pagesTo(state, device, head, () => {
            if (left-- > 0) message([0, 399, 1000 + left])
            return head
          })
          pagesTo(state, device, head)
          assert.deepEqual(Object.fromEntries(device.known), truth(state))
          assert.deepEqual(device.cursor, { stream: STREAM, position: head })
          const none = user.changes(state, device.cursor, STREAM, head)
          assert.deepEqual([none.pointers.length, none.full, none.more], [0, false, false])
        },
      ),
      { numRuns: 200 },
    )
  },
)

const filled = (rooms: number): User => {
  const state = user.empty(ANN)
  for (let i = 1; i <= rooms; i++) user.fold(state, entryOf(i, i, i))
  return state
}

t.test('I4 newest first, and no further than the head that was asked for', async (t) => {
  const state = filled(PAGE + 10)
  const page = user.changes(state, null, STREAM, PAGE + 5)
  const versions = page.pointers.map((bytes) => decode(bytes).version)
  t.equal(versions.length, PAGE)
  t.strictSame(
    versions,
    versions.toSorted((a, b) => b - a),
  )
  t.equal(versions[0], PAGE + 5)
  t.match(page, { full: true, more: true, cursor: { position: PAGE + 5 } })
  const rest = user.changes(state, page.cursor, STREAM, PAGE + 10)
  t.match(rest, { full: true, more: false, cursor: { stream: STREAM, position: PAGE + 5 } })
  t.equal(rest.pointers.length, 5)
})

t.test('I4 a page ends between positions, so that nothing of a batch is left out', async (t) => {
  const state = user.empty(ANN)
  for (let i = 0; i < PAGE - 1; i++) user.fold(state, entryOf(i, 1, 1000 + i))
  for (let i = 0; i < 100; i++) user.fold(state, entryOf(`batch${i}`, 1, 500))
  user.fold(state, entryOf('old', 1, 2))
  const page = user.changes(state, null, STREAM, 2000)
  t.equal(page.pointers.length, PAGE - 1 + 100)
  const rest = user.changes(state, page.cursor, STREAM, 2000)
  t.equal(rest.pointers.length, 1)
})

t.test(
  'I4 a cursor of another stream, from the future or tampered with gets the full list',
  async (t) => {
    const state = filled(5)
    const full = (cursor: Cursor | null) => {
      const { full, pointers, more } = user.changes(state, cursor, STREAM, 5)
      return full && pointers.length === 5 && !more
    }
    t.ok(full(null))
    t.ok(full({ stream: 's0', position: 3 }), 'unknown incarnation')
    t.ok(full({ stream: STREAM, position: 6 }), 'from the future')
    t.ok(full({ stream: '', position: 0 }))
    t.ok(full({ stream: `${STREAM}.1`, position: 3 }))
    t.ok(full({ stream: `${STREAM}.a.b`, position: 3 }))
    t.ok(full({ stream: `${STREAM}.1.2.3`, position: 3 }))
    const { pointers } = user.changes(state, { stream: STREAM, position: 3 }, STREAM, 5)
    t.equal(pointers.length, 2)
  },
)

t.test('I4 whatever a cursor says, the answer is of this user and bounded', async () => {
  const state = filled(400)
  const own = new Set(state.pointers.keys())
  const text = fc.oneof(
    fc.string({ maxLength: 64 }),
    fc
      .tuple(fc.constantFrom(STREAM, 's0'), fc.integer(), fc.integer())
      .map((parts) => parts.join('.')),
  )
  fc.assert(
    fc.property(text, fc.nat(), (stream, position) => {
      const changes = user.changes(state, { stream, position }, STREAM, 400)
      assert.ok(changes.pointers.length <= LIMITS.pointers)
      for (const bytes of changes.pointers) assert.ok(own.has(decode(bytes).room))
      assert.ok(changes.cursor.stream.length <= 64)
      assert.ok(!changes.more || changes.pointers.length > 0, 'paging goes on')
    }),
  )
})

const DAY = 86_400_000
const NOW = 1_800_000_000_000

/** The pointer of a room that was left at `time`. */
const leftEntry = (room: number | string, position: number, time: number): UserEntry => {
  const pointer = pointerOf(roomId(room), position, { flags: 1, time })
  return { key: pointer.room, version: position, position, value: pointerBytes(pointer) }
}
const droppedEntry = (position: number): UserEntry => ({
  key: DROPPED_KEY,
  version: position,
  position,
  value: new Uint8Array(0),
})
const roomsOf = (changes: Changes): string[] => changes.pointers.map((bytes) => decode(bytes).room)

t.test('I4 old tombstones are those of rooms left before then, the lowest first', async (t) => {
  const state = user.empty(ANN)
  user.fold(state, leftEntry('c', 7, NOW - 50 * DAY))
  user.fold(state, leftEntry('a', 3, NOW - 40 * DAY))
  user.fold(state, leftEntry('young', 4, NOW - 10 * DAY))
  user.fold(state, leftEntry('unsafe', 9, NOW - 50 * DAY))
  const member = pointerOf(roomId('in'), 2, { time: NOW - 90 * DAY })
  user.fold(state, { key: member.room, version: 2, position: 2, value: pointerBytes(member) })
  const keys = user.tombstones(state, NOW - 30 * DAY, 8).map(({ key }) => key)
  t.strictSame(keys, [roomId('a'), roomId('c')])
})

t.test(
  'I4 a cursor older than a dropped tombstone gets the full list, a younger one what changed',
  async (t) => {
    const state = user.empty(ANN)
    for (const position of [1, 3, 5, 7]) user.fold(state, entryOf(position, position, position))
    const gone = leftEntry('gone', 4, NOW)
    user.fold(state, gone)
    const at = (position: number) => user.changes(state, { stream: STREAM, position }, STREAM, 8)
    t.match(at(3), { full: false, pointers: { length: 3 } }, 'kept, it is told of')
    user.fold(state, droppedEntry(4))
    user.drop(state, [gone])
    for (const position of [0, 1, 3]) {
      const changes = at(position)
      t.match(changes, { full: true, more: false, cursor: { stream: STREAM, position: 8 } })
      t.strictSame(roomsOf(changes), [7, 5, 3, 1].map(roomId))
    }
    t.match(at(4), { full: false })
    t.strictSame(roomsOf(at(4)), [7, 5].map(roomId))
    t.strictSame(roomsOf(at(7)), [])
  },
)

t.test('I4 how far tombstones were dropped only rises, and counts as news', async (t) => {
  const state = user.empty(ANN)
  t.equal(user.fold(state, droppedEntry(6)), true)
  t.equal(user.newest(state), 6)
  t.equal(user.fold(state, droppedEntry(5)), false)
  t.equal(user.fold(state, droppedEntry(6)), false)
  t.equal(user.changes(state, { stream: STREAM, position: 5 }, STREAM, 9).full, true)
  t.equal(state.pointers.size, 0)
})

t.test('I4 a room that was joined again is not dropped with its tombstone', async (t) => {
  const state = user.empty(ANN)
  const gone = leftEntry('a', 4, NOW)
  user.fold(state, gone)
  user.fold(state, entryOf('a', 9, 9))
  user.fold(state, droppedEntry(4))
  user.drop(state, [gone])
  t.strictSame(truth(state), { [roomId('a')]: 9 })
})

t.test('I4 dropped between two pages of changes, the list begins again', async (t) => {
  const state = user.empty(ANN)
  const gone = leftEntry('gone', 3, NOW)
  user.fold(state, entryOf('old', 1, 1))
  user.fold(state, gone)
  for (let i = 10; i < 10 + PAGE + 5; i++) user.fold(state, entryOf(i, i, i))
  const head = 10 + PAGE + 5
  const device = new Device()
  for (const [key, { version }] of state.pointers) device.known.set(key, version)
  device.cursor = { stream: STREAM, position: 2 }
  const page = user.changes(state, device.cursor, STREAM, head)
  t.match(page, { full: false, more: true })
  device.take(page)
  user.fold(state, droppedEntry(3))
  user.drop(state, [gone])
  pagesTo(state, device, head)
  t.strictSame(Object.fromEntries(device.known), truth(state))
  t.notOk(device.known.has(roomId('gone')))
})

t.test('I4 whatever is dropped and when, each device ends with the rooms of the user', async () => {
  const step = fc.record({
    room: fc.integer({ min: 0, max: 5 }),
    leaves: fc.boolean(),
    /** Which of two devices asks for a page after it. */
    asks: fc.option(fc.integer({ min: 0, max: 1 }), { nil: undefined }),
    /** How many tombstones are dropped after it. */
    drops: fc.integer({ min: 0, max: 2 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const state = user.empty(ANN)
      const devices = [new Device(), new Device()]
      let head = 0
      for (const { room, leaves, asks, drops } of steps) {
        head++
        user.fold(state, leaves ? leftEntry(room, head, 0) : entryOf(room, head, head))
        if (asks !== undefined) {
          const device = devices[asks]!
          const { cursor } = device
          const changes = user.changes(state, cursor, STREAM, head)
          const behind = cursor !== null && cursor.position < state.dropped
          assert.equal(changes.full, cursor === null || behind, 'full for these alone')
          device.take(changes)
        }
        const old = user.tombstones(state, 1, head).slice(0, drops)
        if (old.length === 0) continue
        user.fold(state, droppedEntry(old.at(-1)!.position))
        user.drop(state, old)
      }
      for (const device of devices) {
        pagesTo(state, device, head)
        const own = [...device.known].filter(([room, version]) => truth(state)[room] !== version)
        for (const [room] of own) assert.ok(!state.pointers.has(room))
        // What it keeps beyond them are rooms that it knows to be left: it was told before they were dropped.
        for (const [room, version] of own) assert.ok(device.left.get(room) === version)
        for (const [room, version] of Object.entries(truth(state)))
          assert.equal(device.known.get(room), version)
      }
    }),
    { numRuns: 300 },
  )
})

t.test('I6 admission: by the newest account record', async (t) => {
  const state = user.empty(ANN)
  t.match(user.admit(state, V1, 1), { refused: 'unavailable' }, 'not known yet')
  user.fold(state, accountEntry(5, { tokenGeneration: 2, devices: [removed('v2' as DeviceId)] }))
  t.equal(user.admit(state, V1, 2), 'admitted')
  t.match(user.admit(state, V1, 1), { refused: 'unauthorized' }, 'old generation')
  t.match(user.admit(state, V1, 3), { refused: 'unavailable' }, 'its record is on its way')
  t.match(user.admit(state, 'v2' as DeviceId, 2), { refused: 'device_removed' })
  t.equal(user.fold(state, accountEntry(4, { exists: false })), false, 'an older record')
  t.equal(user.fold(state, accountEntry(5, { exists: false })), false)
  t.equal(user.admit(state, V1, 2), 'admitted')
  t.equal(user.fold(state, accountEntry(6, { tokenGeneration: 2, exists: false })), true)
  t.match(user.admit(state, V1, 2), { refused: 'unauthorized' }, 'erased')
  t.equal(user.newest(state), 0, 'an account is no pointer')
})

t.test('I6 who may write to whom', async (t) => {
  const state = user.empty(ANN)
  t.match(user.mayDm(state, BOB), { refused: 'not_found' })
  user.fold(state, accountEntry(1))
  t.equal(user.mayDm(state, BOB), 'granted')
  user.fold(state, accountEntry(2, { blocked: [BOB] }))
  t.match(user.mayDm(state, BOB), { refused: 'blocked' })
  t.equal(user.mayDm(state, 'uEve' as UserId), 'granted')
  user.fold(state, accountEntry(3, { policy: 99, blocked: [ANN] }))
  t.match(user.mayDm(state, BOB), { refused: 'blocked' }, 'an unknown policy means nobody')
  t.equal(user.mayDm(state, ANN), 'granted', 'but oneself')
  user.fold(state, accountEntry(4, { exists: false }))
  t.match(user.mayDm(state, ANN), { refused: 'not_found' })
})
