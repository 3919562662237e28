import fc from 'fast-check'
import t from 'tap'
import { ParleyError } from '../errors.ts'
import type { RoomId, UserId } from '../ids.ts'
import type { Cache } from './cache.ts'
import { eventOf, type RoomEvent } from './events.ts'
import { candidates, match } from './match.ts'
import { memoryCache } from './memory-cache.ts'
import { Outbox, type Settled } from './outbox.ts'
import { applyChange, changesOf, emptySaved, type Saved } from './saved.ts'
import type { Ack, Slot } from './slot.ts'
import { FakeTime, settle } from './testing/fake-time.ts'
import { FATES, type Fate, ModelLink } from './testing/model-link.ts'
import { FORBIDDEN, type ModelRoom } from './testing/model-room.ts'

const ME = 'uann' as UserId
const ROOMS = ['gone-of-three', 'gtwo-of-three', 'gthree-of-three'] as RoomId[]
const [ROOM] = ROOMS as [RoomId]

const eventsOf = (room: ModelRoom): RoomEvent[] => room.events.map((event) => eventOf({ ...event }))
const textsOf = (room: ModelRoom): string[] =>
  eventsOf(room).flatMap((event) => (event.kind === 'message' ? [event.text] : []))

/** An outbox on model rooms, that can be killed and started again on what was stored. */
class Scene {
  readonly time = new FakeTime()
  readonly link: ModelLink
  readonly given: { room: RoomId; text: string }[] = []
  readonly settled: Settled[] = []
  cache: Cache = memoryCache()
  outbox: Outbox
  lineages = 100
  renewals = 0
  /** The history cannot be read for now, this often. */
  blind = 0

  constructor(fate: () => Fate = () => 'pass') {
    this.link = new ModelLink(ME, fate)
    for (const room of ROOMS) this.link.room(room).join(ME, 0)
    this.outbox = this.#start()
  }

  #start(): Outbox {
    const outbox = new Outbox({
      time: this.time,
      cache: this.cache,
      link: this.link,
      lookUp: async (room, slots) => this.#lookUp(room, slots),
      joinOf: async (room) => {
        const member = this.link.room(room).members.get(ME)
        if (member === undefined) throw new ParleyError('not_member')
        return member.join
      },
      renew: () => {
        this.renewals++
        queueMicrotask(() => {
          if (outbox !== this.outbox || !this.link.inSession) return
          this.cut()
          this.open()
        })
      },
      settled: (what) => this.settled.push(what),
    })
    outbox.start()
    return outbox
  }

  async #lookUp(room: RoomId, slots: readonly Slot[]): Promise<Map<Slot, Ack>> {
    if (this.blind-- > 0) throw new ParleyError('unavailable')
    const found = match(slots, candidates(slots, eventsOf(this.link.room(room)), ME))
    return new Map([...found].map(([slot, { seq, id, time }]) => [slot, { seq, id, time }]))
  }

  open(): void {
    this.link.inSession = true
    const lineage = this.outbox.lineage ?? ++this.lineages
    this.outbox.opened(lineage)
  }

  cut(): void {
    this.link.cut()
  }

  give(room: RoomId, text: string): Promise<Ack> {
    this.given.push({ room, text })
    const { head } = this.link.room(room)
    const promise = this.outbox.give({ name: 'send', room, text, peer: null }, head)
    promise.catch(() => {})
    return promise
  }

  /** The process dies; another one reads what was stored, as JSON. */
  async restart(saved: Saved = this.cache.saved): Promise<void> {
    this.cut()
    const stored = JSON.parse(JSON.stringify(changesOf(saved)))
    this.outbox.close(new ParleyError('unavailable'))
    this.cache = memoryCache()
    await this.cache.write(stored)
    this.outbox = this.#start()
  }

  async run(ms = 200): Promise<void> {
    await settle()
    this.link.deliver()
    await this.time.advance(ms)
  }

  /** Without faults until nothing is left. */
  async finish(): Promise<void> {
    this.cut()
    this.open()
    for (let turn = 0; turn < 300 && this.outbox.size > 0; turn++) await this.run()
  }
}

t.test('N3 sends in order and pipelined, each acked', async (t) => {
  const scene = new Scene()
  scene.open()
  const acks = [1, 2, 3].map((n) => scene.give(ROOM, `t${n}`))
  await settle()
  t.equal(scene.link.sent, 3, 'all before the first reply')
  scene.link.deliver()
  t.strictSame(
    (await Promise.all(acks)).map((ack) => ack.seq),
    [1, 2, 3],
  )
  t.strictSame(textsOf(scene.link.room(ROOM)), ['t1', 't2', 't3'])
  t.equal(scene.outbox.size, 0)
  t.equal(scene.cache.saved.items.size, 0)
})

t.test('B1 stores a command, and its number, before it is sent', async (t) => {
  const scene = new Scene()
  scene.open()
  const stored: string[] = []
  const gate = Promise.withResolvers<void>()
  const { write } = scene.cache
  scene.cache.write = async (changes) => {
    stored.push(...changes.map((change) => change.op))
    await write(changes)
    await gate.promise
  }
  void scene.give(ROOM, 'x')
  await settle()
  t.strictSame(stored, ['put', 'number'])
  t.equal(scene.link.sent, 0, 'not stored yet')
  gate.resolve()
  await settle()
  t.equal(scene.link.sent, 1)
})

t.test('what is given without a session goes out once there is one', async (t) => {
  const scene = new Scene()
  const ack = scene.give(ROOM, 'x')
  await scene.run()
  t.equal(scene.link.sent, 0)
  scene.open()
  await scene.run()
  t.match(await ack, { seq: 1 })
})

t.test(
  'N6 without the lock commands wait, unstored, and go out in order once it is held',
  async (t) => {
    const link = new ModelLink(ME, () => 'pass')
    link.room(ROOM).join(ME, 0)
    const cache = memoryCache()
    const ports = { time: new FakeTime(), cache, link, renew: () => {}, settled: () => {} }
    const outbox = new Outbox({ ...ports, lookUp: async () => new Map(), joinOf: async () => 0 })
    link.inSession = true
    outbox.opened(7)
    const acks = ['a', 'b'].map((text) =>
      outbox.give({ name: 'send', room: ROOM, text, peer: null }, 0),
    )
    await settle()
    t.equal(cache.saved.items.size, 0)
    t.equal(outbox.early, 2)
    applyChange(cache.saved, { op: 'lineage', lineage: 5 })
    outbox.start()
    await settle()
    link.deliver()
    t.strictSame(
      (await Promise.all(acks)).map((ack) => ack.seq),
      [1, 2],
    )
    t.strictSame(
      [...(link.room(ROOM).members.get(ME)?.lineages.keys() ?? [])],
      [5],
      'in the lineage of the profile',
    )
  },
)

t.test('N1 a lineage that was given for this outbox is kept and stored', async (t) => {
  const scene = new Scene()
  t.equal(scene.outbox.lineage, null, 'asks for one')
  scene.open()
  t.equal(scene.outbox.lineage, 101)
  t.equal(scene.cache.saved.lineage, 101)
  await scene.restart()
  t.equal(scene.outbox.lineage, 101)
})

t.test('N2 a refusal for good rejects, and what follows goes on', async (t) => {
  const scene = new Scene()
  scene.open()
  const refused = scene.give(ROOM, `${FORBIDDEN} x`)
  const next = scene.give(ROOM, 'y')
  await scene.run()
  await t.rejects(refused, { code: 'forbidden' })
  t.match(await next, { seq: 1 })
  t.match(scene.settled, [{ error: { code: 'forbidden' } }, { ack: { seq: 1 } }])
})

t.test(
  'N1 a command from before a removal and re-add: refused for good, the next one is accepted',
  async (t) => {
    const scene = new Scene(() => 'lose')
    scene.open()
    const old = scene.give(ROOM, 'from before')
    await scene.run()
    const room = scene.link.room(ROOM)
    room.remove('uben' as UserId, ME)
    room.say('uben' as UserId, 'meanwhile')
    room.join(ME, 3)
    const passing = new Scene()
    passing.lineages = 200
    passing.cache = scene.cache
    passing.link.rooms.set(ROOM, room)
    await passing.restart()
    passing.open()
    await passing.run()
    await t.rejects(
      Promise.race([
        old,
        Promise.reject(
          passing.settled[0] && 'error' in passing.settled[0]
            ? passing.settled[0].error
            : undefined,
        ),
      ]),
      { code: 'stale_join' },
    )
    const next = passing.give(ROOM, 'after')
    for (let turn = 0; turn < 5; turn++) await passing.run()
    t.match(await next, { seq: 3 })
    t.equal(passing.renewals, 1, 'in a lineage of its own')
    t.strictSame(textsOf(room), ['meanwhile', 'after'])
  },
)

t.test('N2 not a member: rejects at once, also what has no number yet', async (t) => {
  const scene = new Scene()
  scene.open()
  scene.link.room(ROOM).members.delete(ME)
  const acks = Array.from({ length: 40 }, (_, n) => scene.give(ROOM, `${n}`))
  const results = Promise.allSettled(acks)
  for (let turn = 0; turn < 5; turn++) await scene.run()
  const all = await results
  t.ok(all.every((one) => one.status === 'rejected' && one.reason.code === 'not_member'))
  t.equal(scene.cache.saved.items.size, 0)
  scene.link.room(ROOM).join(ME, 1)
  const again = scene.give(ROOM, 'back')
  for (let turn = 0; turn < 5; turn++) await scene.run()
  t.match(await again, { seq: 1 })
})

t.test('N4 an evicted lineage: looks in the history before it sends in a new one', async (t) => {
  let fate: Fate = 'mute'
  const scene = new Scene(() => fate)
  scene.open()
  const first = scene.give(ROOM, 'arrived')
  await scene.run()
  scene.link.room(ROOM).evict(ME)
  fate = 'pass'
  const second = scene.give(ROOM, 'not yet')
  scene.blind = 2
  scene.cut()
  scene.open()
  for (let turn = 0; turn < 40; turn++) await scene.run()
  t.match(await first, { seq: 1 })
  t.match(await second, { seq: 2 })
  t.strictSame(textsOf(scene.link.room(ROOM)), ['arrived', 'not yet'])
})

t.test('N3 a resend after 10,000 other messages gets its ack', async (t) => {
  let fate: Fate = 'mute'
  const scene = new Scene(() => fate)
  scene.open()
  const ack = scene.give(ROOM, 'mine')
  await scene.run()
  for (let n = 0; n < 10_000; n++) scene.link.room(ROOM).say('uben' as UserId, `${n}`)
  fate = 'pass'
  await scene.restart()
  scene.open()
  await scene.run()
  t.match(scene.settled, [{ ack: { seq: 1 } }])
  t.equal(scene.link.room(ROOM).head, 10_001)
  void ack
})

t.test(
  'N3 a profile restored from a backup: its numbers were used, its messages still arrive',
  async (t) => {
    const scene = new Scene()
    scene.open()
    void scene.give(ROOM, 'one')
    await scene.run()
    const backup = JSON.parse(JSON.stringify(changesOf(scene.cache.saved)))
    const more = scene.give(ROOM, 'two')
    await scene.run()
    await more
    const old = emptySaved()
    for (const change of backup) applyChange(old, change)
    await scene.restart(old)
    scene.open()
    const three = scene.give(ROOM, 'three')
    for (let turn = 0; turn < 20; turn++) await scene.run()
    t.match(await three, { seq: 3 })
    t.strictSame(textsOf(scene.link.room(ROOM)), ['one', 'two', 'three'])
  },
)

t.test('a bound: past it a command is refused', async (t) => {
  const scene = new Scene()
  const waiting = Array.from({ length: 10_000 }, (_, n) => scene.give(ROOM, `${n}`))
  await t.rejects(scene.give(ROOM, 'one too many'), { code: 'limit' })
  scene.outbox.close(new ParleyError('unavailable'))
  await t.rejects(waiting[0]!, { code: 'unavailable' })
  await t.rejects(scene.give(ROOM, 'late'), { code: 'unavailable' })
  t.equal(scene.cache.saved.items.size, 10_000, 'what is stored stays')
})

t.test('a cache that fails ends the promises', async (t) => {
  const scene = new Scene()
  scene.open()
  scene.cache.write = () => Promise.reject(new Error('disk full'))
  await t.rejects(scene.give(ROOM, 'x'), { code: 'internal' })
})

type Step =
  | { do: 'give'; room: number; text: string }
  | { do: 'run' }
  | { do: 'cut' }
  | { do: 'open' }
  | { do: 'restart' }
  | { do: 'late' }
  | { do: 'evict' }
  | { do: 'other' }

const step: fc.Arbitrary<Step> = fc.oneof(
  // Few texts, so that the same one is sent again and again.
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('give' as const),
      room: fc.nat({ max: ROOMS.length - 1 }),
      text: fc.constantFrom('a', 'b', 'c', `${FORBIDDEN} d`),
    }),
  },
  { weight: 6, arbitrary: fc.constant({ do: 'run' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'open' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'cut' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'restart' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'late' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'other' as const }) },
)
const evict = { weight: 4, arbitrary: fc.constant({ do: 'evict' as const }) }

const act = async (scene: Scene, one: Step): Promise<void> => {
  switch (one.do) {
    case 'give':
      void scene.give(ROOMS[one.room]!, one.text)
      break
    case 'run':
      await scene.run()
      break
    case 'cut':
      scene.cut()
      break
    case 'open':
      if (!scene.link.inSession) scene.open()
      break
    case 'restart':
      await scene.restart()
      break
    case 'late':
      scene.link.arriveLate()
      break
    case 'evict':
      for (const room of ROOMS) scene.link.room(room).evict(ME)
      break
    case 'other':
      for (const room of ROOMS) scene.link.room(room).say('uben' as UserId, 'a')
      break
  }
  await settle()
}

/** Everything given is in its room once, in the order it was given; what was refused is not. */
const holds = (scene: Scene, evicting: boolean): void => {
  for (const room of ROOMS) {
    const mine = eventsOf(scene.link.room(room)).flatMap((event) =>
      event.kind === 'message' && event.sender === ME ? [event.text] : [],
    )
    const given = scene.given.filter((one) => one.room === room).map((one) => one.text)
    const accepted = given.filter((text) => !text.startsWith(FORBIDDEN))
    if (JSON.stringify(mine) !== JSON.stringify(accepted)) {
      throw new Error(`${room}: gave ${accepted.join('')}, the room has ${mine.join('')}`)
    }
  }
  if (scene.outbox.size > 0) throw new Error(`${scene.outbox.size} commands never settled`)
  const acked = scene.settled.filter((one) => 'ack' in one).length
  const accepted = scene.given.filter((one) => !one.text.startsWith(FORBIDDEN)).length
  // A restart may repeat what was settled just before it, never leave out.
  if (acked < accepted) throw new Error(`${acked} of ${accepted} acked (evicting: ${evicting})`)
}

const explore = (evicting: boolean, runs: number): Promise<void> =>
  Promise.resolve(
    fc.assert(
      fc.asyncProperty(
        fc.array(evicting ? fc.oneof({ weight: 20, arbitrary: step }, evict) : step, {
          maxLength: 60,
        }),
        fc.infiniteStream(fc.constantFrom(...FATES, 'pass' as const, 'pass' as const)),
        async (steps, fates) => {
          let faults = true
          const scene = new Scene(() => (faults ? fates.next().value : 'pass') as Fate)
          scene.open()
          for (const one of steps) await act(scene, one)
          faults = false
          await scene.finish()
          holds(scene, evicting)
        },
      ),
      { numRuns: runs },
    ),
  )

t.test(
  'N3 losing, doubling, delaying, refusing, cutting, killing: no send lost, doubled or out of order',
  async () => {
    await explore(false, 300)
  },
)

t.test('N4 the same with lineages that the rooms forget', async () => {
  await explore(true, 300)
})
