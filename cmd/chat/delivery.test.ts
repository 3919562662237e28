import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { deliveryOf, keepDelivery } from './delivery.ts'
import { Usage } from './failure.ts'

t.test('a profile keeps who keeps its place', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'parley-delivery-'))
  t.teardown(() => rm(home, { recursive: true, force: true }))
  const folder = join(home, 'ann')
  t.equal(await deliveryOf(folder), 'cursor', 'a profile that is not there')
  await keepDelivery(folder, 'queue')
  t.equal(await deliveryOf(folder), 'queue')
  await keepDelivery(folder, 'cursor')
  await keepDelivery(folder, 'cursor')
  t.equal(await deliveryOf(folder), 'cursor')
  await writeFile(join(folder, 'delivery'), 'pigeon')
  await t.rejects(deliveryOf(folder), Usage)
})
