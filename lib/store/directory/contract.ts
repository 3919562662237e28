/** What every DirectoryStore does: `directoryContract` gets an empty one, opened with CONTRACT_LIMITS. */
import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import { type DeviceId, newDeviceId, newUserId, type UserId } from '../../ids.ts'
import { type AccountRecord, decodeAccount } from '../../protocol/account.ts'
import type {
  DirectoryLimits,
  DirectoryStore,
  Grant,
  NewAccount,
  NewDevice,
  RefreshRow,
} from './directory.ts'

export const CONTRACT_LIMITS: DirectoryLimits = {
  maxDevices: 3,
  keepRemovedMs: 1000,
  maxRemoved: 5,
}

const NOW = 1_800_000_000_000
const REFUSED = { refused: 'unauthorized' }

const hash = () => new Uint8Array(randomBytes(32))
const refresh = (n = 1): RefreshRow => ({ n, hash: hash(), expires: NOW + 60_000 })
const device = (name = 'phone'): NewDevice => ({ device: newDeviceId(), name, refresh: refresh() })
const account = (handle: string): NewAccount => ({
  user: newUserId(),
  handle,
  name: `Name of ${handle}`,
  passwordHash: `hash of ${handle}`,
  device: device(),
})

export const directoryContract = async (t: Test, store: DirectoryStore): Promise<void> => {
  const record = async (user: UserId): Promise<AccountRecord> => {
    const [row] = await store.pending(1, user)
    if (row === undefined) throw new Error('nothing is pending')
    const decoded = decodeAccount(row.payload)
    t.equal(decoded.user, user)
    t.equal(decoded.version, row.version)
    return decoded
  }
  const made = async (handle: string) => {
    const asked = account(handle)
    const grant = (await store.register(asked, NOW)) as Grant
    return { ...asked, grant, first: asked.device }
  }
  const login = (user: UserId, added = device(), replaces?: DeviceId, now = NOW) =>
    store.login(
      { user, generation: 1, device: added, ...(replaces === undefined ? {} : { replaces }) },
      now,
    )
  const liveDevices = async (user: UserId) =>
    (await store.devices(user)).map((row) => row.device).sort()

  await t.test('a registered account can be found, by handle and by id', async (t) => {
    const { user, grant, first } = await made('ann')
    t.same(grant, { user, device: first.device, generation: 1 })
    const profile = { user, handle: 'ann', name: 'Name of ann', created: NOW }
    t.same(await store.profileOf('ann'), profile)
    t.same(await store.profiles([user, newUserId()]), [profile])
    t.same(await store.profiles([]), [])
    t.same(await store.credentials('ann'), {
      ...profile,
      passwordHash: 'hash of ann',
      generation: 1,
    })
    t.same(await store.devices(user), [
      { device: first.device, name: 'phone', created: NOW, used: NOW },
    ])
    t.same(await store.standing(user, first.device), { generation: 1, removed: false })
    t.equal(await store.profileOf('nobody'), undefined)
    t.equal(await store.credentials('nobody'), undefined)
    t.equal(await store.standing(user, newDeviceId()), undefined)
    t.equal(await store.standing(newUserId(), first.device), undefined)
  })

  await t.test('a handle is given once, also to those who ask at the same time', async (t) => {
    const asked = Array.from({ length: 8 }, () => account('bob'))
    const answers = await Promise.all(asked.map((one) => store.register(one, NOW)))
    const winners = answers.filter((answer) => !('refused' in answer))
    t.equal(winners.length, 1)
    t.equal(
      answers.filter((answer) => 'refused' in answer && answer.refused === 'exists').length,
      7,
    )
    const losers = asked.filter(({ user }) => user !== (winners[0] as Grant).user)
    t.same(await store.profiles(losers.map(({ user }) => user)), [], 'nothing of the others stays')
  })

  await t.test('I6 an account record is pending from the first moment on', async (t) => {
    const { user, first } = await made('cleo')
    t.match(await record(user), {
      exists: true,
      version: 1,
      tokenGeneration: 1,
      devices: [{ device: first.device, removed: false }],
      policy: 0,
      handle: 'cleo',
      blocked: [],
    })
  })

  await t.test(
    'I6 every change makes a record of a higher version, of the full state',
    async (t) => {
      const { user, first, grant } = await made('dora')
      const second = device('desk')
      await login(user, second)
      t.match(await record(user), {
        version: 2,
        devices: [{ device: first.device }, { device: second.device }].sort(byDevice),
      })
      await store.rename(user, 'Dora', NOW)
      t.match(await record(user), { version: 3, tokenGeneration: 1 })
      await store.removeDevice(user, second.device, NOW)
      const removed = await record(user)
      t.equal(removed.version, 4)
      t.same(
        removed.devices.filter((entry) => entry.removed),
        [{ device: second.device, removed: true }],
      )
      await store.changePassword({ was: grant, passwordHash: 'new', refresh: refresh(2) }, NOW)
      t.match(await record(user), { version: 5, tokenGeneration: 2 })
    },
  )

  await t.test('I6 a record is confirmed by version: a newer one stays pending', async (t) => {
    const { user } = await made('eve')
    await store.rename(user, 'Eve', NOW)
    await store.published([{ user, version: 1 }], NOW)
    t.equal((await store.pending(10, user)).length, 1)
    await store.published([{ user, version: 2 }], NOW)
    t.same(await store.pending(10, user), [])
    await store.published([], NOW)
    await store.rename(user, 'Eva', NOW)
    t.match(await store.pending(10, user), [{ user, version: 3 }])
  })

  await t.test('the outbox gives the longest waiting first, within the limit', async (t) => {
    await confirmAll(store)
    const later = account('frank')
    const sooner = account('fred')
    await store.register(later, NOW + 2)
    await store.register(sooner, NOW + 1)
    t.same(
      (await store.pending(10)).map((row) => row.user),
      [sooner.user, later.user],
    )
    t.same(
      (await store.pending(1)).map((row) => row.user),
      [sooner.user],
    )
  })

  await t.test('all records can be sent again', async (t) => {
    await confirmAll(store)
    t.same(await store.pending(10), [])
    const count = await store.resend()
    t.ok(count > 1)
    t.equal((await store.pending(count + 10)).length, count)
  })

  await t.test('a registration can be taken back', async (t) => {
    const { user, first } = await made('gus')
    await store.unregister(user)
    t.equal(await store.profileOf('gus'), undefined)
    t.equal(await store.standing(user, first.device), undefined)
    t.same(await store.pending(10, user), [])
    t.match(await store.register(account('gus'), NOW), { generation: 1 })
    await store.unregister(newUserId())
  })

  await t.test('N6 a login is a new device, up to the limit', async (t) => {
    const { user, first } = await made('hal')
    const second = device()
    t.same(await login(user, second), { user, device: second.device, generation: 1 })
    const third = device()
    await login(user, third)
    t.same(await login(user), { refused: 'limit' })
    t.same(await liveDevices(user), [first.device, second.device, third.device].sort())
    const stranger = await made('hans')
    t.same(await login(user, device(), stranger.first.device), { refused: 'limit' })
    t.same(await store.standing(stranger.user, stranger.first.device), {
      generation: 1,
      removed: false,
    })
    const fourth = device()
    t.match(await login(user, fourth, first.device), { device: fourth.device })
    t.same(await liveDevices(user), [second.device, third.device, fourth.device].sort())
    t.same(await store.standing(user, first.device), { generation: 1, removed: true })
  })

  await t.test('the limit holds for logins at the same time', async (t) => {
    const { user } = await made('ida')
    const answers = await Promise.all(Array.from({ length: 6 }, () => login(user)))
    t.equal(answers.filter((answer) => !('refused' in answer)).length, 2)
    t.equal((await store.devices(user)).length, 3)
  })

  await t.test('a login with a password that was changed meanwhile is refused', async (t) => {
    const { user, grant } = await made('jim')
    await store.changePassword({ was: grant, passwordHash: 'new', refresh: refresh(2) }, NOW)
    t.same(await login(user), REFUSED)
    t.same(await login(newUserId()), REFUSED)
  })

  await t.test(
    'a removed device is remembered while a token of it may live, no longer',
    async (t) => {
      const { user, first } = await made('kim')
      t.equal(await store.removeDevice(user, first.device, NOW), true)
      t.equal(await store.removeDevice(user, first.device, NOW), true, 'again changes nothing')
      t.equal((await record(user)).version, 2)
      t.equal(await store.removeDevice(user, newDeviceId(), NOW), false)
      const stranger = await made('kurt')
      t.equal(await store.removeDevice(user, stranger.first.device, NOW), false)
      t.same(await store.devices(user), [])
      t.same(await store.standing(user, first.device), { generation: 1, removed: true })
      await store.rename(user, 'Kim', NOW + 1000)
      t.same((await record(user)).devices, [{ device: first.device, removed: true }])
      await store.rename(user, 'Kim', NOW + 1001)
      t.same((await record(user)).devices, [])
      t.equal(await store.standing(user, first.device), undefined)
    },
  )

  await t.test('the removed devices of a user are bounded', async (t) => {
    const { user, first } = await made('leo')
    await store.removeDevice(user, first.device, NOW)
    for (let removed = 1; removed < CONTRACT_LIMITS.maxRemoved; removed++) {
      const added = device()
      await login(user, added)
      await store.removeDevice(user, added.device, NOW)
    }
    t.match(await login(user), { refused: 'rate', retryAfterMs: Number })
    t.equal((await record(user)).devices.length, CONTRACT_LIMITS.maxRemoved)
    t.match(await login(user, device(), undefined, NOW + 1001), { generation: 1 })
  })

  await t.test('refresh tokens rotate, one after the other', async (t) => {
    const { user, first } = await made('mia')
    const second = refresh(2)
    const turn = { device: first.device, n: 1, hash: first.refresh.hash, next: second }
    t.same(await store.rotate(turn, NOW + 5), { user, device: first.device, generation: 1 })
    t.match(await store.devices(user), [{ used: NOW + 5 }])
    t.equal((await record(user)).version, 1, 'the user actor need not know')
    const third = { device: first.device, n: 2, hash: second.hash, next: refresh(3) }
    t.match(await store.rotate(third, NOW + 6), { device: first.device })
  })

  await t.test('a refresh token that is used twice ends the device', async (t) => {
    for (const age of [1, 2, 3]) {
      const { user, first } = await made(`nina${age}`)
      let last = first.refresh
      for (let n = 1; n <= age; n++) {
        const next = refresh(n + 1)
        await store.rotate({ device: first.device, n, hash: last.hash, next }, NOW)
        last = next
      }
      const stolen = { device: first.device, n: 1, hash: first.refresh.hash, next: refresh(2) }
      t.match(await store.rotate(stolen, NOW), REFUSED)
      const newest = { device: first.device, n: last.n, hash: last.hash, next: refresh(last.n + 1) }
      t.match(await store.rotate(newest, NOW), { refused: 'device_removed' })
      t.same(await store.standing(user, first.device), { generation: 1, removed: true })
      t.match(await record(user), { version: 2, devices: [{ removed: true }] })
    }
  })

  await t.test('of two who use one refresh token at once, at most one gets on', async (t) => {
    const { first } = await made('olga')
    const turns = Array.from({ length: 4 }, () =>
      store.rotate({ device: first.device, n: 1, hash: first.refresh.hash, next: refresh(2) }, NOW),
    )
    const granted = (await Promise.all(turns)).filter((answer) => !('refused' in answer))
    t.equal(granted.length, 1)
  })

  await t.test(
    'a resend of the same attempt is no reuse, as long as its answer is unused',
    async (t) => {
      const { user, first } = await made('pia')
      const attempt = hash()
      const next = refresh(2)
      const turn = { device: first.device, n: 1, hash: first.refresh.hash, next, attempt }
      const grant = { user, device: first.device, generation: 1 }
      t.same(await store.rotate(turn, NOW), grant)
      t.same(await store.rotate(turn, NOW), grant)
      const onward = { device: first.device, n: 2, hash: next.hash, next: refresh(3) }
      t.same(await store.rotate(onward, NOW), grant)
      t.match(await store.rotate(turn, NOW), REFUSED)
      t.match(await store.standing(user, first.device), { removed: true })
    },
  )

  await t.test('another attempt with a used token is reuse', async (t) => {
    for (const attempt of [hash(), undefined]) {
      const { user, first } = await made(attempt === undefined ? 'quin' : 'quentin')
      const next = refresh(2)
      const turn = { device: first.device, n: 1, hash: first.refresh.hash, next }
      await store.rotate({ ...turn, attempt: hash() }, NOW)
      const again = attempt === undefined ? turn : { ...turn, attempt }
      t.match(await store.rotate(again, NOW), REFUSED)
      t.match(await store.standing(user, first.device), { removed: true })
    }
    const { user, first } = await made('quirin')
    const turn = { device: first.device, n: 1, hash: first.refresh.hash, attempt: hash() }
    await store.rotate({ ...turn, next: refresh(2) }, NOW)
    t.match(await store.rotate({ ...turn, next: refresh(2) }, NOW), REFUSED, 'another answer')
    t.match(await store.standing(user, first.device), { removed: true })
  })

  await t.test('refresh tokens that are expired or were never given are refused', async (t) => {
    const { user, first } = await made('rosa')
    const turn = { device: first.device, n: 1, hash: first.refresh.hash, next: refresh(2) }
    t.match(await store.rotate({ ...turn, hash: hash() }, NOW), REFUSED)
    t.match(await store.rotate({ ...turn, n: 2 }, NOW), REFUSED)
    t.match(await store.rotate({ ...turn, device: newDeviceId() }, NOW), REFUSED)
    t.match(await store.rotate(turn, first.refresh.expires), REFUSED)
    t.match(await store.standing(user, first.device), { removed: false }, 'none of these ends it')
    t.match(await store.rotate(turn, first.refresh.expires - 1), { user })
  })

  await t.test('a new password voids all other devices and every token', async (t) => {
    const { user, first, grant } = await made('sam')
    const other = device()
    await login(user, other)
    const next = refresh(2)
    const change = { was: grant, passwordHash: 'new hash', refresh: next }
    t.same(await store.changePassword(change, NOW), { ...grant, generation: 2 })
    t.match(await store.credentials('sam'), { passwordHash: 'new hash', generation: 2 })
    t.same(await liveDevices(user), [first.device])
    const old = { device: first.device, n: 1, hash: first.refresh.hash, next: refresh(2) }
    const others = { device: other.device, n: 1, hash: other.refresh.hash, next: refresh(2) }
    t.match(await store.rotate(others, NOW), { refused: 'device_removed' })
    const onward = { device: first.device, n: 2, hash: next.hash, next: refresh(3) }
    t.match(await store.rotate(onward, NOW), { generation: 2 })
    t.match(await store.rotate(old, NOW), REFUSED)
    t.same(await store.changePassword(change, NOW), REFUSED, 'the generation has moved')
  })

  await t.test('a removed device cannot change the password', async (t) => {
    const { user, first, grant } = await made('tom')
    await store.removeDevice(user, first.device, NOW)
    const change = { was: grant, passwordHash: 'new', refresh: refresh(2) }
    t.same(await store.changePassword(change, NOW), REFUSED)
    t.match(await store.credentials('tom'), { passwordHash: 'hash of tom', generation: 1 })
  })

  await t.test('a name is stored as it is', async (t) => {
    const { user } = await made('uma')
    const name = 'Ümå 👩‍👩‍👧 𝔘 שלום "\'; DROP TABLE users; --\\'
    t.match(await store.rename(user, name, NOW), { user, handle: 'uma', name })
    t.match(await store.profileOf('uma'), { name })
    t.equal(await store.rename(newUserId(), 'x', NOW), undefined)
  })

  await t.test('hostile text in a query finds nothing and harms nothing', async (t) => {
    await made('vera')
    for (const text of ["' OR 1=1 --", 'vera%', '_era', 'VERA', '\\', '']) {
      t.equal(await store.profileOf(text), undefined, text)
    }
    t.match(await store.profileOf('vera'), { handle: 'vera' })
  })

  await t.test('many accounts at once, all or none', async (t) => {
    await confirmAll(store)
    const many = Array.from({ length: 2500 }, (_, i) => account(`w${i}`))
    await store.seed(many, NOW)
    t.equal((await store.pending(5000)).length, many.length)
    const last = many.at(-1)!
    t.match(await store.profileOf('w2499'), { user: last.user })
    t.same(await store.standing(last.user, last.device.device), { generation: 1, removed: false })
    t.match(await record(last.user), {
      version: 1,
      devices: [{ device: last.device.device, removed: false }],
    })
    const clash = [account('x1'), account('w7'), account('x2')]
    await t.rejects(store.seed(clash, NOW), { code: 'exists' })
    t.equal(await store.profileOf('x1'), undefined)
    await store.seed([], NOW)
  })
}

const byDevice = (a: { device: string }, b: { device: string }) => (a.device < b.device ? -1 : 1)

const confirmAll = async (store: DirectoryStore): Promise<void> => {
  for (;;) {
    const rows = await store.pending(500)
    if (rows.length === 0) return
    await store.published(rows, NOW)
  }
}
