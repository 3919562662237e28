import t from 'tap'
import { acceptOf, newKey, refusalOf, upgradeRequest, writeHeader } from './websocket.ts'

t.test('the key of RFC 6455 gets its answer', async (t) => {
  const key = 'dGhlIHNhbXBsZSBub25jZQ=='
  const accept = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
  t.equal(acceptOf(key), accept)
  const good = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}`
  t.equal(refusalOf(good, key), undefined)
  t.match(refusalOf(good, newKey()), /another key/)
  t.match(refusalOf('HTTP/1.1 503 Service Unavailable', key), /503/)
  t.match(upgradeRequest('127.0.0.1', 8090, key), /\r\nSec-WebSocket-Key: dGhl.*\r\n\r\n$/s)
})

t.test('headers of clients: masked, with the length in its smallest form', async (t) => {
  const cases: [length: number, hex: string][] = [
    [0, '8280'],
    [125, '82fd'],
    [126, '82fe007e'],
    [65535, '82feffff'],
    [65536, '82ff0000000000010000'],
  ]
  for (const [length, hex] of cases) {
    const into = Buffer.alloc(20)
    const end = writeHeader(into, 2, length)
    t.equal(into.subarray(2, end).toString('hex'), `${hex}00000000`)
  }
})
