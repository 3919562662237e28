import t from 'tap'
import type { GatewayId, Incarnation, UserId } from '../ids.ts'
import { ENVELOPE_BYTES } from '../protocol/envelopes.ts'
import { GatewaySink } from '../testing/gateway-sink.ts'
import { type Origin, Outbound } from './outbound.ts'

const W1 = 'w1' as GatewayId
const W2 = 'w2' as GatewayId
const FRAME = Uint8Array.of(1, 2, 3)

const start = () => {
  const sink = new GatewaySink()
  let asked = 0
  const outbound = new Outbound('hSelf' as Incarnation, sink.bus, () => void asked++)
  return { outbound, sink, asked: () => asked }
}

t.test('one envelope per gateway and loop turn, everything in it in order', async (t) => {
  const { outbound, sink, asked } = start()
  const w1 = outbound.outlet(W1)
  w1.final(1, 2, FRAME)
  w1.later(3, 1, FRAME)
  outbound.outlet(W2).moved(9, 1)
  w1.deliver(FRAME, [5, 6])
  w1.pointers(77, FRAME, [5])
  w1.kick(4500, [6])
  t.equal(asked(), 1)
  t.strictSame(sink.take(), [], 'until the end of the turn')
  outbound.flush()
  const gateway = W1
  t.strictSame(sink.take(), [
    { kind: 'final', gateway, token: 1, attempt: 2, frame: FRAME },
    { kind: 'later', gateway, token: 3, attempt: 1, frame: FRAME },
    { kind: 'deliver', gateway, handle: 5, frame: FRAME },
    { kind: 'deliver', gateway, handle: 6, frame: FRAME },
    { kind: 'pointers', gateway, handle: 5, position: 77, frame: FRAME },
    { kind: 'kick', gateway, handle: 6, code: 4500 },
    { kind: 'moved', gateway: W2, token: 9 },
  ])
  outbound.flush()
  t.strictSame(sink.take(), [], 'once')
  w1.moved(1, 1)
  t.equal(asked(), 2)
})

t.test('an envelope is sent before it is larger than NATS takes', async (t) => {
  const { outbound, sink } = start()
  const large = new Uint8Array(ENVELOPE_BYTES / 4 + 1)
  for (let i = 0; i < 4; i++) outbound.outlet(W1).deliver(large, [1])
  t.equal(sink.take().length, 4)
})

t.test('by subject: for everybody but who it came from', async (t) => {
  const { outbound, sink } = start()
  const user = 'uAnn' as UserId
  outbound.live(user, undefined, FRAME)
  outbound.live(user, { gateway: W1, handle: 5 } as Origin, FRAME)
  outbound.live(user, { gateway: undefined, handle: 0 } as Origin, FRAME)
  t.strictSame(
    sink.take().map((sent) => (sent.kind === 'live' ? sent.except : sent.kind)),
    [undefined, 5, undefined],
  )
})

t.test('gateways that are gone are forgotten, nothing of the others is lost', async (t) => {
  const { outbound, sink } = start()
  outbound.outlet(W1).moved(1, 1)
  for (let i = 0; i < 4100; i++) outbound.outlet(`wGone${i}` as GatewayId)
  outbound.outlet(W1).moved(2, 1)
  outbound.flush()
  t.strictSame(
    sink.take().map((sent) => (sent.kind === 'moved' ? sent.token : 0)),
    [1, 2],
  )
})
