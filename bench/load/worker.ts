/** A generator process: does what fleet.ts orders. Ends with its parent. */
import { isMainThread } from 'node:worker_threads'
import { judge } from './judge.ts'
import { Load } from './load.ts'
import type { Order, OrderName, Orders, Reply } from './orders.ts'

let load: Load | undefined

const current = (): Load => {
  if (load === undefined) throw new Error('no load was set up')
  return load
}

const does: { [N in OrderName]: (given: Orders[N]['with']) => Promise<Orders[N]['answer']> } = {
  setUp: async (plan) => {
    load = new Load(plan)
    await load.setUp()
    return { lanes: load.lanes.length }
  },
  go: async (pace) => {
    current().go(pace)
    return null
  },
  openWindow: async () => {
    current().openWindow()
    return current().counters()
  },
  shutWindow: async () => {
    current().shutWindow()
    return current().counters()
  },
  stop: async ({ withinMs }) => {
    const settled = await current().stop(withinMs)
    const { dueInWindow: due, ackUs, deliveryUs, lagUs } = current()
    const [ack, delivery, lag] = [ackUs.encode(), deliveryUs.encode(), lagUs.encode()]
    return { settled, due, ack, delivery, lag }
  },
  status: async () => current().status(),
  finish: async (options) => {
    const verdict = await judge(current(), options)
    await current().end()
    return verdict
  },
}

const obey = async (order: Order): Promise<Reply> => {
  const act = does[order.name] as (given: unknown) => Promise<unknown>
  try {
    return { id: order.id, answer: await act(order.with) }
  } catch (error) {
    const words = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const found = load?.problems.join('; ') ?? ''
    return { id: order.id, error: found === '' ? words : `${words} (${found})` }
  }
}

if (isMainThread && process.send !== undefined) {
  process.on('message', (order: Order) => {
    void obey(order).then((reply) => process.send?.(reply))
  })
  process.on('disconnect', () => process.exit())
}
