import t from 'tap'
import type { Bucket, Entry } from '../bus/bus.ts'
import { type Owner, toJson } from '../bus/cluster.ts'
import { eventually } from '../testing/eventually.ts'
import { watchOwners } from './owners.ts'

const QUICK = { readyMs: 20, againMs: 1 }

type Watch = { onEntry(entry: Entry): void; onReady(): void; stopped: boolean }

/** A bucket whose watches the test answers, and a NATS whose gaps it makes. */
const world = ({ failing = 0 } = {}) => {
  const watches: Watch[] = []
  let gap = () => {}
  let left = failing
  const bucket: Pick<Bucket, 'watch'> = {
    watch: async (onEntry, onReady = () => {}) => {
      if (left-- > 0) throw new Error('not now')
      const watch = { onEntry, onReady, stopped: false }
      watches.push(watch)
      return () => {
        watch.stopped = true
      }
    },
  }
  const nats = {
    onGap: (callback: () => void) => {
      gap = callback
      return () => {
        gap = () => {}
      }
    },
  }
  return { watches, nats, bucket: bucket as Bucket, gap: () => gap() }
}

const owner = (epoch: number): Owner => ({
  ...{ epoch, incarnation: 'h1' as never, host: 'here', state: 'serving' },
})
const entry = (key: string, epoch: number): Entry => ({
  ...{ key, value: toJson(owner(epoch)), revision: epoch },
})

t.test('it is followed once everything was told', async (t) => {
  const { watches, nats, bucket } = world()
  const told: [number, number | undefined][] = []
  const following = watchOwners(
    ...([bucket, nats, (p: number, one: Owner | undefined) => told.push([p, one?.epoch])] as const),
    new AbortController().signal,
  )
  await eventually('a watch', () => watches.length === 1)
  watches[0]!.onEntry(entry('3', 7))
  watches[0]!.onEntry({ key: 'other', value: undefined, revision: 8 })
  let done = false
  void following.then(() => {
    done = true
  })
  await new Promise(setImmediate)
  t.notOk(done, 'not before all is told')
  watches[0]!.onReady()
  const stop = await following
  watches[0]!.onEntry({ key: '3', value: undefined, revision: 9 })
  t.same(told, [
    [3, 7],
    [3, undefined],
  ])
  stop()
  t.ok(watches[0]!.stopped)
  watches[0]!.onEntry(entry('4', 9))
  t.equal(told.length, 2, 'nothing after the end')
})

t.test('a watch that fails, or is never complete, is replaced', async (t) => {
  const { watches, nats, bucket } = world({ failing: 2 })
  const never = new AbortController().signal
  const following = watchOwners(bucket, nats, () => {}, never, QUICK)
  await eventually('a second watch', () => watches.length === 2)
  t.ok(watches[0]!.stopped)
  watches.at(-1)!.onReady()
  ;(await following)()
})

t.test('after a gap everything is asked for again', async (t) => {
  const { watches, nats, bucket, gap } = world()
  const told: number[] = []
  const never = new AbortController().signal
  const following = watchOwners(bucket, nats, (p) => told.push(p), never, QUICK)
  await eventually('a watch', () => watches.length === 1)
  watches[0]!.onReady()
  const stop = await following
  gap()
  await eventually('another watch', () => watches.length === 2)
  t.ok(watches[0]!.stopped, 'in place of the first')
  watches[1]!.onEntry(entry('5', 9))
  t.same(told, [5])
  watches[1]!.onReady()
  stop()
  gap()
  await new Promise(setImmediate)
  t.equal(watches.length, 2, 'not after the end')
})

t.test('a start that is given up leaves nothing behind', async (t) => {
  const { watches, nats, bucket } = world()
  const start = new AbortController()
  const following = watchOwners(bucket, nats, () => {}, start.signal)
  await eventually('a watch', () => watches.length === 1)
  start.abort(new Error('told to stop'))
  await t.rejects(following, { message: 'told to stop' })
  t.ok(watches[0]!.stopped)
})
