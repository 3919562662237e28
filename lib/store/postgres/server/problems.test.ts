import t from 'tap'
import { ParleyError } from '../../../errors.ts'
import { parseAddress } from './address.ts'
import { problemOf } from './problems.ts'

const ADDRESS = parseAddress('postgresql://ann:secret@db.example/parley')
const problem = (code: string, message = 'what the driver says') =>
  problemOf(Object.assign(new Error(message), { code }), ADDRESS)

t.test('each problem is of the kind that it is treated as', (t) => {
  const kinds = {
    lost: ['ECONNREFUSED', 'ECONNRESET', 'CONNECTION_CLOSED', '57P01', '57P03', '08006', '25006'],
    again: ['40001', '40P01'],
    busy: ['53300', '53100', '55P03', '57014'],
    setup: ['28P01', '28000', '3D000', '42501', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
  }
  for (const [kind, codes] of Object.entries(kinds)) {
    for (const code of codes) {
      t.match(problem(code), { kind, error: { code: 'unavailable' } }, `${code} is ${kind}`)
    }
  }
  t.match(problem('23505'), { kind: 'failed', error: { code: 'internal' } })
  t.match(problemOf('text', ADDRESS), { kind: 'failed', error: { cause: 'text' } })
  t.end()
})

t.test('an operator is told what to do, and no secret', (t) => {
  t.match(problem('28P01').error.message, /--postgres-url .*pg_hba\.conf/)
  t.match(problem('3D000').error.message, /createdb --owner=ann parley/)
  t.match(problem('53300').error.message, /max_connections/)
  t.match(problem('ECONNREFUSED').error.message, /db\.example:5432: does PostgreSQL run\?/)
  for (const code of ['28P01', 'ECONNREFUSED', '23505']) {
    t.notMatch(problem(code).error.message, /secret/)
  }
  t.end()
})

t.test('of a failed query only what the driver said goes on', (t) => {
  const driver = Object.assign(new Error('duplicate key'), { code: '23505' })
  const wrapped = new Error('Failed query: insert … params: hash of a password', { cause: driver })
  const { error } = problemOf(wrapped, ADDRESS)
  t.match(error, { code: 'internal', cause: 'duplicate key' })
  t.notMatch(JSON.stringify([error.message, error.cause]), /password/)
  t.end()
})

t.test('an error of ours stays what it is', (t) => {
  const ours = new ParleyError('exists')
  t.equal(problemOf(ours, ADDRESS).error, ours)
  t.end()
})
