/** What every HistoryStore must do. `open(name)` opens the store of that name, empty at its first opening. */
import fc from 'fast-check'
import type { Test } from 'tap'
import { parseRoomId, type RoomId } from '../../ids.ts'
import type { HistoryRow, HistoryStore } from './history.ts'

export type OpenHistory = (name: string) => Promise<HistoryStore>

const room = (id: string): RoomId => {
  const parsed = parseRoomId(id)
  if (parsed === undefined) throw new Error(`${id} is not a room id`)
  return parsed
}

const row = (of: RoomId, seq: number, text = `${of} ${seq}`): HistoryRow => ({
  room: of,
  seq,
  frame: new TextEncoder().encode(text),
})

const seqs = (rows: readonly HistoryRow[]): number[] => rows.map(({ seq }) => seq)
const texts = (rows: readonly HistoryRow[]): string[] =>
  rows.map(({ frame }) => new TextDecoder().decode(frame))

const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, n) => first + n)

/** Of mixed sizes: mostly a line of text, here and there more than several rows' worth. */
const mixed = (of: RoomId, seq: number): HistoryRow => {
  const bytes = seq % 41 === 0 ? 40_000 : seq % 13 === 0 ? 6_000 : seq % 5 === 0 ? 0 : 200
  return { room: of, seq, frame: new Uint8Array(Buffer.alloc(bytes, `${of} ${seq} `)) }
}
const exact = (found: readonly HistoryRow[], expected: readonly HistoryRow[]): boolean =>
  found.length === expected.length &&
  found.every((row, n) => {
    const { room, seq, frame } = expected[n]!
    return row.room === room && row.seq === seq && Buffer.compare(row.frame, frame) === 0
  })

const A = room('gaaaaaaaaaaaaaaaaaaaaa')
const B = room('gbbbbbbbbbbbbbbbbbbbbb')

export const historyContract = (t: Test, open: OpenHistory): void => {
  const using = (name: string, check: (t: Test, store: HistoryStore) => Promise<void>) =>
    t.test(name, async (t) => {
      const store = await open(name.replaceAll(' ', '-'))
      try {
        await check(t, store)
      } finally {
        await store.close()
      }
    })

  void using('an empty store has no rows and floor 0', async (t, store) => {
    t.equal(await store.floor(0), 0)
    t.equal(await store.floor(7), 0)
    t.same(await store.page(A, 1, 100), [])
  })

  void using('a page is inclusive at both ends, ascending, and shows holes', async (t, store) => {
    const rows = [5, 3, 1, 2, 6, 9].map((seq) => row(A, seq))
    await store.append(rows, 0, 10)
    t.same(seqs(await store.page(A, 1, 9)), [1, 2, 3, 5, 6, 9])
    t.same(seqs(await store.page(A, 2, 6)), [2, 3, 5, 6])
    t.same(seqs(await store.page(A, 3, 3)), [3])
    t.same(seqs(await store.page(A, 4, 4)), [], 'a hole')
    t.same(seqs(await store.page(A, 7, 8)), [], 'between rows')
    t.same(seqs(await store.page(A, 0, 1)), [1])
    t.same(seqs(await store.page(A, 9, Number.MAX_SAFE_INTEGER)), [9])
    t.same(seqs(await store.page(A, 10, Number.MAX_SAFE_INTEGER)), [], 'past the end')
    t.same(seqs(await store.page(A, 6, 5)), [], 'upside down')
    t.same(texts(await store.page(A, 3, 3)), [`${A} 3`])
    t.ok((await store.page(A, 1, 9)).every((found) => found.room === A))
  })

  void using('numbers sort as numbers', async (t, store) => {
    const order = [1, 9, 10, 99, 100, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 40]
    await store.append(
      order.map((seq) => row(A, seq)),
      0,
      1,
    )
    t.same(seqs(await store.page(A, 1, 2 ** 41)), order)
    t.same(seqs(await store.page(A, 256, 2 ** 32)), order.slice(6, 11))
  })

  void using('rooms keep apart, also those whose ids begin alike', async (t, store) => {
    const alike = ['gaaaaaaaa', 'gaaaaaaaaa', 'gaaaaaaaa-', 'gaaaaaaaa_', 'gaaaaaaaA'].map(room)
    await store.append(
      alike.flatMap((id) => [row(id, 1), row(id, 2)]),
      0,
      1,
    )
    for (const id of alike) {
      t.same(texts(await store.page(id, 0, Number.MAX_SAFE_INTEGER)), [`${id} 1`, `${id} 2`])
    }
    t.same(await store.page(B, 0, Number.MAX_SAFE_INTEGER), [])
  })

  void using('frames come back byte for byte', async (t, store) => {
    const everyByte = Uint8Array.from({ length: 256 }, (_, n) => n)
    const large = Uint8Array.from({ length: 70_000 }, (_, n) => (n * 31) & 0xff)
    const around = Uint8Array.from({ length: 64 }, (_, n) => n)
    const frames = [everyByte, new Uint8Array(), large, around.subarray(10, 20)]
    await store.append(
      frames.map((frame, n) => ({ room: A, seq: n + 1, frame })),
      0,
      1,
    )
    around.fill(0xff) // the store must not lean on the writer's buffer afterwards
    const found = await store.page(A, 1, 4)
    t.equal(found.length, 4)
    t.ok(found[0] && Buffer.compare(found[0].frame, everyByte) === 0)
    t.equal(found[1]?.frame.byteLength, 0)
    t.ok(found[2] && Buffer.compare(found[2].frame, large) === 0)
    t.same([...(found[3]?.frame ?? [])], [10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
  })

  void using('a replay changes nothing', async (t, store) => {
    const rows = [1, 2, 3].map((seq) => row(A, seq))
    await store.append(rows, 0, 3)
    await store.append([row(A, 4)], 0, 4)
    const before = await store.page(A, 1, 10)
    await store.append(rows, 0, 3)
    await store.append(rows.slice(1), 0, 3)
    t.same(await store.page(A, 1, 10), before)
    t.equal(await store.floor(0), 4)
  })

  void using('a floor only rises, and each stream has its own', async (t, store) => {
    await store.append([], 0, 10)
    t.equal(await store.floor(0), 10, 'also without rows')
    await store.append([row(A, 1)], 0, 4)
    t.equal(await store.floor(0), 10)
    t.same(seqs(await store.page(A, 1, 1)), [1], 'the rows of a late append count all the same')
    await store.append([], 1, 3)
    t.equal(await store.floor(1), 3)
    t.equal(await store.floor(0), 10)
    await store.append([], 0, 2 ** 40)
    t.equal(await store.floor(0), 2 ** 40)
    t.equal(await store.floor(256), 0)
  })

  void using('appends at once end at the highest floor with all rows', async (t, store) => {
    const positions = Array.from({ length: 60 }, (_, n) => ((n * 37) % 60) + 1)
    await Promise.all(positions.map((n) => store.append([row(A, n)], 0, n)))
    t.equal(await store.floor(0), 60)
    t.equal((await store.page(A, 1, 100)).length, 60)
  })

  void using('thousands of rows of many rooms', async (t, store) => {
    const rooms = Array.from({ length: 40 }, (_, n) => room(`g${String(n).padStart(12, '0')}`))
    let position = 0
    for (let from = 1; from <= 150; from += 25) {
      const rows = rooms.flatMap((id) => Array.from({ length: 25 }, (_, n) => row(id, from + n)))
      position += rows.length
      await store.append(rows, 0, position)
    }
    t.equal(await store.floor(0), 6000)
    const dense = Array.from({ length: 150 }, (_, n) => n + 1)
    for (const id of rooms) t.same(seqs(await store.page(id, 1, 150)), dense)
    t.same(
      texts(await store.page(room('g000000000017'), 120, 122)),
      [120, 121, 122].map((seq) => `g000000000017 ${seq}`),
    )
  })

  void using('a page may begin and end anywhere in what came at once', async (t, store) => {
    await store.append(
      range(1, 300).map((seq) => row(A, seq)),
      0,
      1,
    )
    await store.append(
      range(301, 330).map((seq) => row(A, seq)),
      0,
      2,
    )
    const wrong: string[] = []
    for (let first = 1; first <= 330; first += 3) {
      for (const size of [1, 2, 31, 63, 64, 65, 130]) {
        const last = Math.min(first + size - 1, 330)
        const found = await store.page(A, first, last)
        const expected = range(first, last).map((seq) => row(A, seq))
        if (!exact(found, expected)) wrong.push(`${first} to ${last}`)
      }
    }
    t.same(wrong, [])
    t.same(seqs(await store.page(A, 325, 400)), range(325, 330), 'past the end')
  })

  void using('pages of a long room, wherever its store cuts it', async (t, store) => {
    const last = 5000
    for (let first = 1; first <= last; first += 500) {
      const rows = range(first, first + 499).map((seq) => row(A, seq))
      await store.append(rows, 0, first)
    }
    const wrong: number[] = []
    for (const border of [1000, 1024, 2000, 2048, 3072, 4000, 4096]) {
      for (const first of [border - 49, border - 25, border - 1, border, border + 1]) {
        const expected = range(first, first + 49).map((seq) => row(A, seq))
        if (!exact(await store.page(A, first, first + 49), expected)) wrong.push(first)
      }
    }
    t.same(wrong, [])
    t.same(seqs(await store.page(A, 1000, 3100)), range(1000, 3100), 'two thousand at once')
    t.same(seqs(await store.page(A, 1, 2 ** 40)), range(1, last), 'all of it')
    await store.drop(A, 3000)
    t.same(seqs(await store.page(A, 1, last)), range(3000, last))
    t.same(await store.spans(undefined, 10), [{ room: A, first: 3000, last }])
  })

  void using('a replay in other portions changes nothing', async (t, store) => {
    const rows = range(1, 200).map((seq) => mixed(A, seq))
    for (const size of [19, 7, 64, 1, 200, 33]) {
      for (let at = 0; at < rows.length; at += size) {
        await store.append(rows.slice(at, at + size), 0, Math.min(at + size, rows.length))
      }
      t.ok(exact(await store.page(A, 1, 200), rows), `portions of ${size}`)
    }
    t.ok(exact(await store.page(A, 60, 70), rows.slice(59, 70)))
    const once = range(1, 19).map((seq) => mixed(B, seq))
    await store.append(once, 0, 19)
    await store.append(once.slice(10), 0, 19) // the same end
    await store.append(once.slice(0, 9), 0, 9) // the same beginning
    t.ok(exact(await store.page(B, 1, 19), once), 'a shorter one takes nothing from a longer one')
    t.equal(await store.floor(0), 200)
  })

  void using('any appends, each event is there once with its bytes', async (t, store) => {
    let run = 0
    const part = fc.record({
      room: fc.nat(2),
      first: fc.integer({ min: 1, max: 150 }),
      size: fc.integer({ min: 0, max: 90 }),
    })
    const append = fc.array(part, { maxLength: 4 })
    const page = fc.record({ room: fc.nat(2), first: fc.nat(250), size: fc.nat(120) })
    await fc.assert(
      fc.asyncProperty(
        fc.array(append, { maxLength: 6 }),
        fc.array(page, { minLength: 4, maxLength: 4 }),
        async (appends, pages) => {
          const name = `g${String(++run).padStart(8, '0')}`
          const rooms = [room(name), room(`${name}-`), room(`${name}_x`)]
          const stored = rooms.map(() => new Set<number>())
          for (const parts of appends) {
            const rows = parts.flatMap(({ room, first, size }) =>
              range(first, first + size - 1).map((seq) => {
                stored[room]!.add(seq)
                return mixed(rooms[room]!, seq)
              }),
            )
            await store.append(rows, 0, run)
          }
          for (const { room, first, size } of pages) {
            const expected = range(first, first + size)
              .filter((seq) => stored[room]!.has(seq))
              .map((seq) => mixed(rooms[room]!, seq))
            const found = await store.page(rooms[room]!, first, first + size)
            if (!exact(found, expected)) return false
          }
          return true
        },
      ),
      { numRuns: 60, seed: 11 },
    )
    t.ok(run >= 60)
  })

  void using('events of many rooms, one after another in turn', async (t, store) => {
    const rooms = Array.from({ length: 9 }, (_, n) => room(`gturn-${n}-room`))
    const rows = range(1, 100).flatMap((seq) => rooms.map((id) => mixed(id, seq)))
    await store.append(rows, 0, 1)
    for (const id of rooms) {
      const expected = range(1, 100).map((seq) => mixed(id, seq))
      t.ok(exact(await store.page(id, 1, 100), expected), id)
    }
  })

  void using('ten thousand rooms at once', async (t, store) => {
    const rooms = Array.from({ length: 10_000 }, (_, n) => room(`gmany-rooms-${n}`))
    await store.append(
      rooms.flatMap((id, n) => [row(id, n + 1), row(id, n + 2)]),
      0,
      20_000,
    )
    t.equal(await store.floor(0), 20_000)
    const wrong: string[] = []
    for (let n = 0; n < rooms.length; n += 97) {
      const found = await store.page(rooms[n]!, 0, Number.MAX_SAFE_INTEGER)
      if (!exact(found, [row(rooms[n]!, n + 1), row(rooms[n]!, n + 2)])) wrong.push(rooms[n]!)
    }
    t.same(wrong, [])
  })

  void using('large frames among small ones', async (t, store) => {
    const sizes = [10, 65_535, 65_536, 0, 32_768, 1, 32_767, 1, 200_000, 20_000, 12_768, 1]
    const rows = sizes.map((bytes, n) => ({
      room: A,
      seq: n + 1,
      frame: Uint8Array.from({ length: bytes }, (_, i) => (i + n) & 0xff),
    }))
    await store.append(rows, 0, 1)
    t.ok(exact(await store.page(A, 1, 12), rows))
    for (const { seq } of rows) {
      t.ok(exact(await store.page(A, seq, seq), [rows[seq - 1]!]), `${sizes[seq - 1]} bytes`)
    }
  })

  void using('a room keeps everything until it is told otherwise', async (t, store) => {
    t.equal(await store.kept(A), 1)
    await store.append([row(A, 1)], 0, 1)
    t.equal(await store.kept(A), 1)
    t.same(await store.spans(undefined, 10), [{ room: A, first: 1, last: 1 }])
  })

  void using('below its floor a room keeps nothing, wherever the floor is', async (t, store) => {
    let position = 0
    for (let first = 1; first <= 300; first += 50) {
      const rows = range(first, first + 49).map((seq) => mixed(A, seq))
      await store.append([...rows, ...rows.map(({ seq }) => mixed(B, seq))], 0, ++position)
    }
    const wrong: number[] = []
    for (const below of [2, 30, 51, 100, 101, 164, 165, 290, 300]) {
      await store.drop(A, below)
      const found = await store.page(A, 1, 300)
      const rest = range(below, 300).map((seq) => mixed(A, seq))
      if (!exact(found, rest) || (await store.kept(A)) !== below) wrong.push(below)
      const spans = await store.spans(undefined, 2)
      t.same(
        spans.find(({ room }) => room === A),
        { room: A, first: below, last: 300 },
      )
    }
    t.same(wrong, [])
    t.same(seqs(await store.page(A, 1, 299)), [])
    t.equal((await store.page(B, 1, 300)).length, 300, 'other rooms keep theirs')
    t.equal(await store.kept(B), 1)
    t.equal(await store.floor(0), position)
  })

  void using('a floor only rises, whoever raises it', async (t, store) => {
    const rows = range(1, 20).map((seq) => row(A, seq))
    await store.append(rows, 0, 1)
    await store.drop(A, 9)
    await store.drop(A, 5)
    t.equal(await store.kept(A), 9)
    t.same(seqs(await store.page(A, 1, 20)), range(9, 20))
    await Promise.all([12, 15, 11, 14].map((below) => store.drop(A, below)))
    t.equal(await store.kept(A), 15)
    t.same(seqs(await store.page(A, 1, 20)), range(15, 20))
  })

  void using('what is appended below the floor stays gone', async (t, store) => {
    const rows = range(1, 100).map((seq) => row(A, seq))
    await store.append(rows, 0, 1)
    await store.drop(A, 61)
    await store.append(rows.slice(9, 70), 0, 1) // a replay, in other portions
    await store.append(rows, 0, 1)
    t.same(seqs(await store.page(A, 1, 100)), range(61, 100))
    t.same(seqs(await store.page(A, 50, 60)), [])
    const [span] = await store.spans(undefined, 1)
    t.ok(span!.first <= 61, 'what is there, if it is, can be seen')
    await store.drop(A, 61)
    t.same(await store.spans(undefined, 1), [{ room: A, first: 61, last: 100 }])
    t.same(seqs(await store.page(A, 1, 100)), range(61, 100))
  })

  void using('a floor past all that is there holds for what comes', async (t, store) => {
    await store.append([row(A, 1), row(A, 2), row(B, 1)], 0, 1)
    await store.drop(A, 5)
    t.same(await store.page(A, 1, 10), [])
    t.same(await store.spans(undefined, 10), [{ room: B, first: 1, last: 1 }])
    await store.append(
      range(3, 7).map((seq) => row(A, seq)),
      0,
      2,
    )
    t.same(seqs(await store.page(A, 1, 10)), [5, 6, 7])
    await store.drop(B, 1)
    t.same(seqs(await store.page(B, 1, 1)), [1], 'floor 1 is no floor')
  })

  void using('spans go through all rooms, a few at a time', async (t, store) => {
    const rooms = Array.from({ length: 25 }, (_, n) => room(`gspan-${n * 7}-room`))
    for (const part of [1, 40]) {
      const rows = rooms.flatMap((id, n) => range(part, part + n).map((seq) => row(id, seq)))
      await store.append(rows, 0, part)
    }
    for (const limit of [1, 4, 25, 100]) {
      const found = []
      for (let after: RoomId | undefined; ; after = found.at(-1)?.room) {
        const spans = await store.spans(after, limit)
        if (spans.length === 0) break
        t.ok(spans.length <= limit)
        found.push(...spans)
      }
      const expected = rooms.map((id, n) => ({ room: id, first: 1, last: 40 + n }))
      const byName = (a: { room: string }, b: { room: string }) => (a.room < b.room ? -1 : 1)
      t.same(found.sort(byName), expected.sort(byName), `${limit} at a time`)
    }
    await store.drop(rooms[3]!, 100)
    t.equal((await store.spans(undefined, 100)).length, 24)
    t.same(await store.spans(rooms[3], 100), await store.spans(rooms[3], 24))
  })

  void t.test('rows and floors survive closing', async (t) => {
    const first = await open('reopened')
    await first.append([row(A, 1), row(A, 2), row(B, 1)], 3, 17)
    await first.close()
    const second = await open('reopened')
    t.equal(await second.floor(3), 17)
    t.same(texts(await second.page(A, 1, 10)), [`${A} 1`, `${A} 2`])
    t.same(texts(await second.page(B, 1, 10)), [`${B} 1`])
    await second.drop(A, 2)
    await second.append([], 3, 16)
    t.equal(await second.floor(3), 17, 'the floor of the former run still holds')
    await second.close()
    const third = await open('reopened')
    t.teardown(() => third.close())
    t.equal(await third.kept(A), 2)
    await third.append([row(A, 1)], 3, 17)
    t.same(texts(await third.page(A, 1, 10)), [`${A} 2`])
  })

  void t.test('after closing everything is refused', async (t) => {
    const store = await open('closed')
    await store.close()
    await store.close()
    await t.rejects(store.append([row(A, 1)], 0, 1), { code: 'unavailable' })
    await t.rejects(store.page(A, 1, 1), { code: 'unavailable' })
    await t.rejects(store.floor(0), { code: 'unavailable' })
    await t.rejects(store.drop(A, 2), { code: 'unavailable' })
    await t.rejects(store.spans(undefined, 1), { code: 'unavailable' })
  })
}
