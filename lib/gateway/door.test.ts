import t from 'tap'
import { clientAddress, Door, networkOf, plainAddress, proxyList } from './door.ts'

const CONFIG = {
  origins: ['https://chat.example', 'http://localhost:8080'],
  trustedProxies: [],
  maxSessionsPerAddress: 3,
  connectRate: 1,
  connectBurst: 5,
}
const knock = (over: object = {}) => ({
  version: '13',
  origin: '',
  forwardedFor: '',
  remote: '10.0.0.1',
  ...over,
})
const status = (door: Door, over: object, now = 0): string => {
  const answer = door.admit(knock(over), false, now)
  return 'status' in answer ? answer.status.slice(0, 3) : answer.address
}

t.test('origins are exact: scheme, host and port', async (t) => {
  const admitted = ['', 'https://chat.example', 'http://localhost:8080']
  const refused = [
    'null',
    'http://chat.example',
    'https://chat.example:8443',
    'https://chat.example:443',
    'https://chat.example.evil.tld',
    'https://evilchat.example',
    'https://CHAT.example',
    'https://chat.example/',
    'https://user@chat.example',
    'http://localhost',
    '*',
  ]
  for (const origin of admitted) t.equal(status(new Door(CONFIG), { origin }), '10.0.0.1', origin)
  for (const origin of refused) t.equal(status(new Door(CONFIG), { origin }), '403', origin)
  const open = new Door({ ...CONFIG, origins: ['*'] })
  t.equal(status(open, { origin: 'https://anything.example' }), '10.0.0.1')
})

t.test('another WebSocket version, and a full gateway', async (t) => {
  t.equal(status(new Door(CONFIG), { version: '8' }), '426')
  t.equal(status(new Door(CONFIG), { version: '' }), '426')
  t.match(new Door(CONFIG).admit(knock(), true, 0), { status: /^503/ })
})

t.test('connections of one address: at once, and by time', async (t) => {
  const door = new Door(CONFIG)
  for (let i = 0; i < 3; i++) t.equal(status(door, {}), '10.0.0.1')
  t.equal(status(door, {}), '429', 'three at once')
  t.equal(status(door, { remote: '10.0.0.2' }), '10.0.0.2', 'another address')
  for (let i = 0; i < 3; i++) door.out('10.0.0.1')
  t.equal(status(door, {}), '10.0.0.1')
  t.equal(status(door, {}), '10.0.0.1')
  t.equal(status(door, {}), '429', 'five are a burst')
  t.equal(status(door, {}, 1000), '10.0.0.1', 'one a second after it')
  t.equal(door.turnedAway, 2)
})

t.test('an IPv6 customer is a /64, an IPv4 address in IPv6 is itself', async (t) => {
  t.equal(networkOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64')
  t.equal(networkOf('2001:0db8:0001:0002:ffff::1'), '2001:db8:1:2::/64')
  t.equal(networkOf('2001:db8::1'), '2001:db8:0:0::/64')
  t.equal(networkOf('::1'), '0:0:0:0::/64')
  t.equal(networkOf('10.1.2.3'), '10.1.2.3')
  t.equal(plainAddress('0000:0000:0000:0000:0000:ffff:7f00:0001'), '127.0.0.1')
  t.equal(plainAddress('::1'), '::1')
})

t.test('X-Forwarded-For is believed from trusted proxies only', async (t) => {
  const trusted = proxyList(['10.0.0.0/8', '192.168.1.1', 'fd00::/8'])
  const cases: [string, string, string][] = [
    ['203.0.113.9', '1.2.3.4', '203.0.113.9'],
    ['10.0.0.1', '1.2.3.4', '1.2.3.4'],
    ['10.0.0.1', '6.6.6.6, 1.2.3.4', '1.2.3.4'],
    ['10.0.0.1', '1.2.3.4, 10.2.2.2', '1.2.3.4'],
    ['10.0.0.1', '10.3.3.3, 10.2.2.2', '10.3.3.3'],
    ['10.0.0.1', '', '10.0.0.1'],
    ['10.0.0.1', '1.2.3.4, nonsense', '10.0.0.1'],
    ['192.168.1.1', ' 2001:db8::7 ', '2001:db8::7'],
    ['fd00::1', '1.2.3.4', '1.2.3.4'],
    ['192.168.1.2', '1.2.3.4', '192.168.1.2'],
  ]
  for (const [remote, forwarded, expected] of cases) {
    t.equal(clientAddress(remote, forwarded, trusted), expected, `${remote} ${forwarded}`)
  }
  t.throws(() => proxyList(['localhost']), RangeError)
})
