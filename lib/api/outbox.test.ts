import t, { type Test } from 'tap'
import type { UserId } from '../ids.ts'
import { encodeAccount } from '../protocol/account.ts'
import { eventually } from '../testing/eventually.ts'
import { Outbox } from './outbox.ts'

const user = (n: number) => `uUser${n}` as UserId

/** An outbox over rows in memory, and an inbox that does as it is told. */
const scene = async (t: Test, { start = true } = {}) => {
  const rows = new Map<UserId, { version: number; published: boolean }>()
  const put = (who: UserId, version: number) => rows.set(who, { version, published: false })
  const got: string[] = []
  const inbox: { behave: (call: string) => Promise<void> } = { behave: async () => undefined }
  const store = { down: false }
  const payload = (who: UserId, version: number) =>
    encodeAccount({
      user: who,
      version,
      exists: true,
      tokenGeneration: 1,
      devices: [],
      policy: 0,
      handle: 'someone',
      blocked: [],
    })
  const outbox = new Outbox({
    directory: {
      pending: async (limit, who) => {
        if (store.down) throw new Error('the store is down')
        return [...rows]
          .filter(([id, row]) => !row.published && (who === undefined || id === who))
          .slice(0, limit)
          .map(([id, { version }]) => ({ user: id, version, payload: payload(id, version) }))
      },
      published: async (marks) => {
        for (const { user: id, version } of marks) {
          const row = rows.get(id)
          if (row?.version === version) row.published = true
        }
      },
      resend: async () => {
        for (const row of rows.values()) row.published = false
        return rows.size
      },
    },
    publishAccount: async (record) => {
      const call = `${record.user} ${record.version}`
      got.push(call)
      await inbox.behave(call)
    },
    log: { warn: () => undefined },
  })
  if (start) {
    await outbox.start()
    t.teardown(() => outbox.drain(0))
  }
  const pending = () => [...rows.values()].filter((row) => !row.published).length
  return { outbox, rows, put, got, inbox, store, pending }
}

t.test('I6 a record is published until it is confirmed', async (t) => {
  const { outbox, put, got, inbox, pending } = await scene(t)
  let failures = 3
  inbox.behave = async () => {
    if (failures-- > 0) throw new Error('no PubAck')
  }
  put(user(1), 1)
  outbox.wake()
  await eventually('the record is confirmed', () => pending() === 0)
  t.same(got, Array(4).fill('uUser1 1'))
})

t.test('I6 a record left by an earlier run is published at start', async (t) => {
  const { outbox, put, got, pending } = await scene(t, { start: false })
  put(user(1), 7)
  await outbox.start()
  t.teardown(() => outbox.drain(0))
  await eventually('the record is confirmed', () => pending() === 0)
  t.same(got, ['uUser1 7'])
})

t.test('I6 a confirmation of an old version does not confirm a newer one', async (t) => {
  const { outbox, put, got, inbox, pending } = await scene(t)
  inbox.behave = async (call) => {
    if (call === 'uUser1 1') put(user(1), 2)
  }
  put(user(1), 1)
  t.equal(await outbox.confirm(user(1), 1000), true)
  await eventually('the newer one is confirmed', () => pending() === 0)
  t.same(got, ['uUser1 1', 'uUser1 2'])
})

t.test('confirm is true only after the confirmation', async (t) => {
  const { outbox, put, inbox } = await scene(t, { start: false })
  let acked = false
  let failures = 2
  inbox.behave = async () => {
    if (failures-- > 0) throw new Error('no PubAck')
    acked = true
  }
  put(user(1), 1)
  t.equal(await outbox.confirm(user(1), 5000), true)
  t.equal(acked, true)
  t.equal(await outbox.confirm(user(2), 1000), true, 'nothing is pending')
})

t.test('confirm gives up in time, whatever hangs, and the loop goes on', async (t) => {
  const { outbox, put, inbox, pending } = await scene(t, { start: false })
  inbox.behave = () => new Promise(() => undefined)
  put(user(1), 1)
  t.equal(await outbox.confirm(user(1), 60), false)
  t.equal(pending(), 1)
  inbox.behave = async () => undefined
  await outbox.start()
  t.teardown(() => outbox.drain(0))
  await eventually('the loop confirms it', () => pending() === 0)
})

t.test('confirm and the loop survive a store that is away for a while', async (t) => {
  const { outbox, put, store, pending } = await scene(t)
  put(user(1), 1)
  store.down = true
  t.equal(await outbox.confirm(user(1), 60), false)
  store.down = false
  await eventually('it is confirmed', () => pending() === 0)
})

t.test('one that fails does not hold up the others', async (t) => {
  const { outbox, put, inbox, rows } = await scene(t)
  inbox.behave = async (call) => {
    if (call === 'uUser1 1') throw new Error('no PubAck')
  }
  for (let n = 0; n < 10; n++) put(user(n), 1)
  outbox.wake()
  await eventually('nine are confirmed', () => {
    const confirmed = [...rows].filter(([, row]) => row.published).map(([id]) => id)
    return confirmed.length === 9 && !confirmed.includes(user(1))
  })
})

t.test('settle publishes everything, and says when it cannot', async (t) => {
  const { outbox, put, inbox, got, pending } = await scene(t, { start: false })
  for (let n = 0; n < 700; n++) put(user(n), 1)
  await outbox.settle()
  t.equal(pending(), 0)
  t.equal(new Set(got).size, 700)
  inbox.behave = async () => Promise.reject(new Error('no PubAck'))
  put(user(1), 2)
  await t.rejects(outbox.settle(), { code: 'unavailable' })
})

t.test('everything can be sent again', async (t) => {
  const { outbox, put, got } = await scene(t)
  for (let n = 0; n < 3; n++) put(user(n), 1)
  await outbox.settle()
  got.length = 0
  t.equal(await outbox.resendAll(), 3)
  await eventually('all three are published again', () => new Set(got).size === 3)
})

t.test('draining tries once more and then stops', async (t) => {
  const { outbox, put, got, pending } = await scene(t, { start: false })
  await outbox.start()
  await eventually('it rests', () => pending() === 0)
  put(user(1), 1)
  await outbox.drain(performance.now() + 5000)
  t.equal(pending(), 0)
  t.ok(got.length >= 1)
})
