import t from 'tap'
import { addressText, isLocal, parseAddress } from './address.ts'

t.test('a URL says who, where and what', (t) => {
  t.same(parseAddress('postgresql://ann:s%40crt@db.example:6432/parley'), {
    host: 'db.example',
    port: 6432,
    path: undefined,
    user: 'ann',
    password: 's@crt',
    database: 'parley',
  })
  t.match(parseAddress('postgres://ann@[::1]/parley', 'from a file'), {
    host: '::1',
    port: 5432,
    password: 'from a file',
  })
  t.match(parseAddress('postgresql://ann:own@h/d', 'from a file'), { password: 'own' })
  t.match(parseAddress('postgresql://ann@%2Fvar%2Frun%2Fpostgresql/parley'), {
    path: '/var/run/postgresql/.s.PGSQL.5432',
  })
  t.end()
})

t.test('what is none is refused, and no refusal holds the password', (t) => {
  const wrong: [string, RegExp][] = [
    ['', /must look like/],
    ['db.example', /must look like/],
    ['mysql://ann:secret@h/d', /must look like/],
    ['postgresql://:secret@h/d', /names no user/],
    ['postgresql://ann:secret@h', /names no database/],
    ['postgresql://ann:secret@h/', /names no database/],
    ['postgresql://ann:secret@h/d?sslmode=require', /no parameters/],
    ['postgresql://ann:secret@h/d#x', /no parameters/],
    ['postgresql://ann:secret%zz@h/d', /password with a %/],
  ]
  for (const [url, message] of wrong) {
    t.throws(() => parseAddress(url), { message }, url)
    try {
      parseAddress(url)
    } catch (error) {
      t.notMatch(String(error), /secret/)
    }
  }
  t.end()
})

t.test('what is told of an address has no password; loopback and sockets are local', (t) => {
  const told = (url: string) => addressText(parseAddress(url))
  t.equal(told('postgresql://ann:secret@h:1/d'), 'ann@h:1/d')
  t.equal(told('postgresql://ann:secret@%2Frun/d'), 'ann@/run/.s.PGSQL.5432/d')
  const local = (host: string) => isLocal(parseAddress(`postgresql://u@${host}/d`))
  for (const host of ['localhost', '127.0.0.1', '127.1.2.3', '[::1]', '%2Frun']) t.ok(local(host))
  for (const host of ['db', '10.0.0.1', '127.example.org', '[::2]']) t.notOk(local(host), host)
  t.end()
})
