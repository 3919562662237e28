import t, { type Test } from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { user } from '../../actors/user/user.ts'
import { queueConsumer } from '../../nats/consumers.ts'
import { inboxFloorKey, Positions } from '../bus/positions.ts'
import { systemClock } from '../clock.ts'
import type { DeviceId, UserId } from '../ids.ts'
import {
  type QueueEntry,
  readQueueMessage,
  writeQueueEntry,
  writeQueueHead,
} from '../protocol/queue-entries.ts'
import { Writer } from '../protocol/writer.ts'
import { levelState } from '../store/level/level-state.ts'
import type { StateStore, UserRow } from '../store/state/state.ts'
import { inboxSubject } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import { HouseDevice, startHouse } from '../testing/house.ts'
import { inboxMessage, pointerBytes, pointerOf, roomId } from '../testing/pointers.ts'
import { decodeRow, encodeRow, encodeUsers, rowKey } from './queue-row.ts'

const behaviors = { room: createRoomBehavior({ members: 256 }), user }
const BOT = 'uBot' as UserId
const VBOT1 = 'vBot1' as DeviceId

const open = (t: Test, given: Parameters<typeof startHouse>[2] = {}) =>
  startHouse(t, behaviors, given)

const stored = async (house: House): Promise<number> =>
  (await house.outside.streams.state('QUEUE_0')).messages

type House = Awaited<ReturnType<typeof open>>

t.test(
  'I5 what a former owner still queues while the next one starts keeps its numbers',
  async (t) => {
    const house = await open(t, { partitions: 1 })
    const { streams } = house.outside
    const first = await house.host()
    const gateway = await house.gateway()
    await house.account(BOT)
    const bot = new HouseDevice(BOT, VBOT1)
    await bot.login(gateway)
    t.match(await bot.queue(true), { name: 'ok' })
    bot.client.close()
    await eventually('its session is gone', () => gateway.stats().sessions === 0)
    const ann = new HouseDevice('uAnn', 'vAnn')
    await house.account('uAnn')
    await ann.login(gateway)
    await ann.text(BOT, 'one')
    await eventually('it is queued', async () => (await stored(house)) === 1)
    await first.drain(systemClock.monotonic() + 5000)

    const append = async (stream: string, subject: string, data: Uint8Array) => {
      const { lastSeq } = await streams.state(stream)
      streams.append(subject, data, undefined, 'nobody')
      await eventually('it is there', async () => (await streams.state(stream)).lastSeq > lastSeq)
      return lastSeq + 1
    }
    const inbox = (version: number) => {
      const pointer = pointerOf(roomId(version), version)
      return append('INBOX_0', inboxSubject(0), inboxMessage({ user: BOT, pointer }))
    }
    const missed = await inbox(1000)
    const state = levelState(house.database)
    t.teardown(() => state.close())
    const formerGoesOn = async (rows: readonly UserRow[]) => {
      const row = rows.find(({ key }) => key === rowKey(VBOT1))!
      const n = decodeRow(row.value).n + 1
      const pointer = pointerBytes(pointerOf(roomId(1000), 1000))
      const bytes = writeQueueHead(new Writer(), 1)
      writeQueueEntry(bytes, { kind: 'pointer', n, stamp: missed, after: 0, pointer })
      const { filter_subject } = queueConsumer(house.shape, BOT, VBOT1).config
      await append('QUEUE_0', filter_subject, bytes.take())
      const rev = row.position + 1
      const value = encodeRow({ mode: 'on', rev, n, position: missed })
      await state.saveUsers([{ ...row, position: rev, value }])
      await new Positions(await house.outside.bucket('checkpoints')).raise(inboxFloorKey(0), missed)
    }
    let raced = false
    await house.host({
      state: {
        ...state,
        user: async (id) => {
          const rows = await state.user(id)
          if (id === BOT && !raced) {
            raced = true
            await formerGoesOn(rows)
          }
          return rows
        },
      },
    })
    const later = await inbox(1001)
    const queued = async () => {
      const entries: QueueEntry[] = []
      const { firstSeq, lastSeq } = await streams.state('QUEUE_0')
      for (let seq = firstSeq; seq <= lastSeq; seq++) {
        const message = await streams.get('QUEUE_0', seq)
        if (message !== undefined) entries.push(...readQueueMessage(message.data).entries)
      }
      return entries
    }
    const entries = await eventually('the later one is queued', async () => {
      const all = await queued()
      return all.some(({ stamp }) => stamp === later) && all
    })
    t.ok(raced)
    const stamps = new Map<number, number>()
    for (const { n, stamp } of entries) {
      t.equal(stamps.get(n) ?? stamp, stamp, `number ${n}`)
      stamps.set(n, stamp)
    }
    t.strictSame([...stamps.values()].slice(-2), [missed, later])
  },
)

t.test(
  'I5 a queue that a former owner gives while the next one starts is known to it',
  async (t) => {
    const house = await open(t, { partitions: 1 })
    const state = levelState(house.database)
    t.teardown(() => state.close())
    let raced = false
    const racing: StateStore = {
      ...state,
      partition: async (name) => {
        const before = await state.partition(name)
        if (name === 'queues.0' && !raced) {
          raced = true
          // As the former owner stores it, which may answer its devices until the quiet time is over.
          const row = { mode: 'on', rev: 2, n: 0, position: 0 } as const
          const key = rowKey(VBOT1)
          await state.savePartition(name, 2, encodeUsers([BOT]))
          const { stream, config } = queueConsumer(house.shape, BOT, VBOT1)
          await house.outside.streams.addConsumer(stream, config)
          await state.saveUsers([{ user: BOT, key, position: 2, value: encodeRow(row) }])
        }
        return before
      },
    }
    await house.host({ state: racing })
    t.ok(raced)
    await house.account(BOT)
    const gateway = await house.gateway()
    const bot = new HouseDevice(BOT, VBOT1)
    await bot.login(gateway)
    const ann = new HouseDevice('uAnn', 'vAnn')
    await house.account('uAnn')
    await ann.login(gateway)
    await ann.text(BOT, 'one')
    await eventually('it is queued', () => bot.queued.length > 0)
    t.match(bot.queued[0], { n: 1, reset: false })
    t.ok(house.lines.some((line) => line.includes('changed its queues meanwhile')))
  },
)
