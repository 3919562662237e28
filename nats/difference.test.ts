import t from 'tap'
import { differences } from './difference.ts'
import { shape } from './shape.ts'
import { bucketStream, logStream, type StreamSpec } from './streams.ts'

const wanted = logStream(0, shape({ partitions: 3 }))

t.test('what a server leaves out or orders otherwise is no difference', async (t) => {
  t.strictSame(differences(wanted, wanted), [])
  const { sealed, deny_purge, max_age, persist_mode, ...rest } = wanted
  t.strictSame(differences({ ...rest, subjects: ['log.2', 'log.0', 'log.1'] }, wanted), [])
  t.strictSame(differences({ ...wanted, metadata: { by: 'the server' } }, wanted), [])
})

const cases: [Partial<StreamSpec>, fixed: boolean][] = [
  [{ max_bytes: 5 }, false],
  [{ max_age: 5 }, false],
  [{ num_replicas: 3 }, false],
  [{ discard: 'old' }, false],
  [{ deny_delete: false }, false],
  [{ deny_purge: true }, true],
  [{ sealed: true }, true],
  [{ allow_msg_ttl: true }, true],
  [{ storage: 'memory' }, true],
  [{ retention: 'workqueue' }, true],
  [{ subjects: ['log.0', 'log.1'] }, true],
  [{ persist_mode: 'async' }, true],
]
for (const [is, fixed] of cases) {
  t.test(`a stream with ${JSON.stringify(is)}`, async (t) => {
    const field = Object.keys(is)[0] as keyof StreamSpec
    t.strictSame(differences({ ...wanted, ...is }, wanted), [
      { field, is: is[field], wanted: wanted[field], fixed },
    ])
  })
}

t.test('message TTLs may be turned on', async (t) => {
  const spec = bucketStream('gateways', shape())
  t.match(differences({ ...spec, allow_msg_ttl: false }, spec), [
    { field: 'allow_msg_ttl', fixed: false },
  ])
})
