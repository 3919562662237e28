import t from 'tap'
import { BATCH_BYTES, Committer, QUEUE_BYTES, type Rows, type Write } from './committer.ts'
import { stamped, stampOf } from './keys.ts'

/** Rows in memory whose batches wait for the test. */
class HeldRows implements Rows {
  readonly stored = new Map<string, Uint8Array>()
  readonly batches: string[][] = []
  readonly read: string[] = []
  #gate = Promise.withResolvers<void>()
  #arrived = Promise.withResolvers<void>()

  async getMany(keys: Buffer[]) {
    this.read.push(...keys.map(String))
    return keys.map((key) => this.stored.get(key.toString()))
  }
  async batch(changes: Parameters<Rows['batch']>[0]) {
    this.batches.push(changes.map(({ key }) => key.toString()))
    this.#arrived.resolve()
    await this.#gate.promise
    for (const change of changes) {
      if (change.type === 'put') this.stored.set(change.key.toString(), change.value)
      else this.stored.delete(change.key.toString())
    }
  }
  /** Resolves when a batch is at the disk. */
  async arrived(): Promise<void> {
    await this.#arrived.promise
  }
  /** Lets the batch at the disk end, as written or as failed. */
  settle(error?: Error): void {
    const gate = this.#gate
    this.#gate = Promise.withResolvers<void>()
    this.#arrived = Promise.withResolvers<void>()
    if (error) gate.reject(error)
    else gate.resolve()
  }
}

const put = (key: string, bytes = 1): Write => ({
  type: 'put',
  key: Buffer.from(key),
  value: Buffer.alloc(bytes),
})
const raise = (key: string, position: number): Write => ({
  type: 'raise',
  key: Buffer.from(key),
  value: stamped(position, new Uint8Array()),
})

t.test('what arrives while a batch is written forms the next one', async (t) => {
  const rows = new HeldRows()
  const committer = new Committer(rows)
  const done: string[] = []
  const ask = (key: string) => committer.commit([put(key)]).then(() => done.push(key))
  const all = [ask('a'), ask('b')]
  await rows.arrived()
  all.push(ask('c'), ask('d'), ask('e'))
  t.same(rows.batches, [['a', 'b']], 'one batch in flight')
  t.same(done, [], 'nothing resolves before its batch is synced')
  rows.settle()
  await rows.arrived()
  t.same(rows.batches, [
    ['a', 'b'],
    ['c', 'd', 'e'],
  ])
  t.same(done, ['a', 'b'])
  rows.settle()
  await Promise.all(all)
  await committer.idle()
  t.same(done, ['a', 'b', 'c', 'd', 'e'])
})

t.test('rows are put and taken away in one batch, in the order of the writes', async (t) => {
  const rows = new HeldRows()
  rows.stored.set('a', Buffer.alloc(1))
  const committer = new Committer(rows)
  const del = (key: string): Write => ({ ...put(key, 0), type: 'del' })
  const done = committer.commit([del('a'), put('b'), put('c'), del('c')])
  await rows.arrived()
  t.same(rows.batches, [['a', 'b', 'c', 'c']])
  rows.settle()
  await done
  t.same([...rows.stored.keys()], ['b'])
})

t.test('a lower position is kept out against the disk and within a batch', async (t) => {
  const rows = new HeldRows()
  rows.stored.set('k', stamped(5, new Uint8Array()))
  const committer = new Committer(rows)
  const late = committer.commit([raise('k', 4)])
  await late
  t.same(rows.batches, [], 'nothing to write')
  const both = Promise.all([committer.commit([raise('k', 9)]), committer.commit([raise('k', 7)])])
  await rows.arrived()
  t.same(rows.batches, [['k']])
  rows.settle()
  await both
  t.equal(stampOf(rows.stored.get('k')!), 9)
})

t.test('a request is never split, and a batch stays near its bound', async (t) => {
  const rows = new HeldRows()
  const committer = new Committer(rows)
  const third = BATCH_BYTES / 3
  const all = Promise.all([
    committer.commit([put('a', third), put('b', third), put('c', third), put('d', third)]),
    committer.commit([put('e', third), put('f', third)]),
    committer.commit([put('g', third)]),
  ])
  for (const expected of [['a', 'b', 'c', 'd'], ['e', 'f'], ['g']]) {
    await rows.arrived()
    t.same(rows.batches.at(-1), expected)
    rows.settle()
  }
  await all
})

t.test('a full queue refuses for now', async (t) => {
  const rows = new HeldRows()
  const committer = new Committer(rows)
  const first = committer.commit([put('a')])
  await rows.arrived()
  const waiting = committer.commit([put('b', QUEUE_BYTES)])
  await t.rejects(committer.commit([put('c')]), { code: 'overloaded', canRetry: true })
  rows.settle()
  await first
  await rows.arrived()
  const after = committer.commit([put('d')])
  rows.settle()
  await waiting
  await rows.arrived()
  rows.settle()
  await after
  t.notOk(rows.stored.has('c'))
  t.ok(rows.stored.has('d'))
})

t.test('a failed write fails its requests and nobody else', async (t) => {
  const rows = new HeldRows()
  const committer = new Committer(rows)
  const first = committer.commit([put('a')])
  await rows.arrived()
  const second = committer.commit([put('b')])
  rows.settle(new Error('no space left'))
  await t.rejects(first, { code: 'unavailable' })
  await rows.arrived()
  rows.settle()
  await second
  t.same([...rows.stored.keys()], ['b'])
})

t.test('a position that is to be remembered is read once', async (t) => {
  const rows = new HeldRows()
  rows.stored.set('k', stamped(5, new Uint8Array()))
  const committer = new Committer(rows)
  const remembered = (key: string, position: number): Write => ({
    ...raise(key, position),
    remember: true,
  })
  await committer.commit([remembered('k', 4)])
  for (const position of [6, 7]) {
    const written = committer.commit([remembered('k', position), remembered('new', position)])
    await rows.arrived()
    rows.settle()
    await written
  }
  await committer.commit([remembered('k', 7), remembered('new', 3)])
  t.equal(rows.batches.length, 2, 'lower ones are still kept out')
  t.same(rows.read, ['k', 'new'])

  const failing = committer.commit([remembered('k', 9)])
  await rows.arrived()
  rows.stored.set('k', stamped(9, new Uint8Array())) // it was stored all the same
  rows.settle(new Error('who knows'))
  await t.rejects(failing, { code: 'unavailable' })
  await committer.commit([remembered('k', 8)])
  t.same(rows.read, ['k', 'new', 'k'], 'after a failed write it is read again')
  t.equal(stampOf(rows.stored.get('k')!), 9)
})
