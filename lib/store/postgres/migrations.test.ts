import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { generateDrizzleJson, generateMigration } from 'drizzle-kit/api'
import t from 'tap'
import { MIGRATIONS } from './postgres-directory.ts'
import * as schema from './schema.ts'

const meta = `${fileURLToPath(MIGRATIONS)}/meta`

t.test('the committed migrations lead to the schema', async (t) => {
  const last = readdirSync(meta)
    .filter((name) => name.endsWith('_snapshot.json'))
    .sort()
    .at(-1)!
  const snapshot = JSON.parse(readFileSync(`${meta}/${last}`, 'utf8'))
  const wanted = generateDrizzleJson(schema, snapshot.id)
  t.same(await generateMigration(snapshot, wanted), [], 'run drizzle-kit generate')
  t.ok(Object.keys(wanted.tables).length > 0)
})
