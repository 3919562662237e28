import t from 'tap'
import { Metrics } from './metrics.ts'
import { sampler } from './sampled.ts'
import { eventually } from './testing/eventually.ts'

t.test('sums are copied as what they grew by, the rest as it is', async (t) => {
  const metrics = new Metrics()
  const stats = { sent: 5, waiting: 3 }
  const service = sampler(
    'test',
    () => stats,
    [
      { counter: metrics.counter('parley_host_batches_total', {}), of: ({ sent }) => sent },
      { gauge: metrics.gauge('parley_host_pointers_waiting', {}), of: ({ waiting }) => waiting },
    ],
    5,
  )
  await service.start(AbortSignal.timeout(1000))
  t.match(await metrics.text(), /^parley_host_batches_total 5$/m)
  stats.sent = 9
  stats.waiting = 0
  await eventually('it is copied', async () =>
    /^parley_host_batches_total 9$/m.test(await metrics.text()),
  )
  t.match(await metrics.text(), /^parley_host_pointers_waiting 0$/m)
  stats.sent = 10
  await service.drain(0)
  t.match(await metrics.text(), /^parley_host_batches_total 10$/m)
  stats.sent = 4
  await service.drain(0)
  t.match(await metrics.text(), /^parley_host_batches_total 10$/m, 'a counter never falls')
})
