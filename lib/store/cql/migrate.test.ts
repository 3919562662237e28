import t from 'tap'
import { checkKeyspace, keyspaceStatement } from './migrate.ts'
import { MIGRATIONS } from './schema.ts'

t.test('a keyspace as configured', async (t) => {
  const replication = new Map([
    ['east', 3],
    ['west', 2],
  ])
  const make = (tablets: 'default' | 'on' | 'off') =>
    keyspaceStatement({ keyspace: 'parley', replication, tablets })
  const plain =
    "CREATE KEYSPACE IF NOT EXISTS parley WITH replication = {'class': 'NetworkTopologyStrategy', 'east': 3, 'west': 2}"
  t.equal(make('default'), plain, 'tablets, which Cassandra does not know, only when asked for')
  t.equal(make('on'), `${plain} AND tablets = {'enabled': true}`)
  t.equal(make('off'), `${plain} AND tablets = {'enabled': false}`)
})

t.test('a name of a keyspace goes into statements as it is, so it is checked', async (t) => {
  for (const name of ['parley', 'p', 'chat_2', `p${'x'.repeat(47)}`]) checkKeyspace(name)
  for (const name of ['', 'Parley', '2chat', 'a-b', 'a b', 'a;b', `p${'x'.repeat(48)}`]) {
    t.throws(() => checkKeyspace(name), { code: 'bad_request' }, name)
  }
})

t.test('migrations are in order and may each run again', async (t) => {
  t.same(
    MIGRATIONS.map(({ version }) => version),
    MIGRATIONS.map((_, n) => n + 1),
  )
  for (const statement of MIGRATIONS.flatMap(({ statements }) => statements)) {
    t.match(statement, /^CREATE TABLE IF NOT EXISTS \$\.\w+ \(/)
  }
})

t.test('nothing that only one of Cassandra and ScyllaDB knows', async (t) => {
  const all = MIGRATIONS.flatMap(({ statements }) => statements).join('\n')
  t.notMatch(all, /compaction|tablets|MATERIALIZED|CREATE INDEX|counter|cdc|vector|masked/i)
})
