import t from 'tap'
import { newGroupId, partitionOf } from '../ids.ts'
import { PartitionCache } from './partitions.ts'

t.test('says what partitionOf says, whatever it has forgotten', async (t) => {
  const cache = new PartitionCache(64, 8)
  const ids = [...Array(40)].map(() => newGroupId())
  for (let round = 0; round < 3; round++) {
    for (const id of ids) t.equal(cache.of(id), partitionOf(id, 64))
  }
})
