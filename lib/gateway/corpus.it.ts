/** Bad bytes on the wire: each is refused in a way that says why, and nobody else notices. */
import t, { type Test } from 'tap'
import { ERRORS } from '../errors.ts'
import { encodeFrame } from '../protocol/codec.ts'
import { FRAMES } from '../protocol/frames.ts'
import { eventually } from '../testing/eventually.ts'
import {
  handshake,
  helloFrame,
  OPCODES,
  RawClient,
  wsFrame,
} from '../testing/gateway/raw-client.ts'
import { sendFrame, TestClient } from '../testing/gateway/test-client.ts'
import { ALL, startWorld } from '../testing/gateway/world.ts'

const ROOM = 'gRoomOfTheTest'
const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex')
const nested = (levels: number): Buffer => Buffer.alloc(levels, 0x91)

t.test('the corpus', async (t) => {
  const world = await startWorld(t)
  const host = await world.host()
  await host.own(ALL, 1)
  const origins = ['https://chat.example']
  const gateway = await world.gateway({ origins, helloMs: 60_000 })
  const { port } = gateway
  const bystander = await TestClient.login(gateway.url, 'uBystander/vB1')
  let n = 0
  const undisturbed = async (): Promise<void> => {
    bystander.text(ROOM, ++n)
    await bystander.frame('ack', n)
  }

  const answers = async (t: Test, name: string, request: string, status: number): Promise<void> => {
    const client = await RawClient.open(port)
    client.write(request)
    await eventually(`${name}: an answer`, () => client.status ?? client.closed)
    t.equal(client.status, status, name)
    client.destroy()
  }

  await t.test('handshakes', async (t) => {
    const without = (header: string) => handshake([], { [header]: undefined })
    await answers(t, 'as it should be', handshake(), 101)
    await answers(t, 'no key', without('Sec-WebSocket-Key'), 426)
    await answers(t, 'a short key', handshake([], { 'Sec-WebSocket-Key': 'abc' }), 426)
    await answers(t, 'no version', without('Sec-WebSocket-Version'), 426)
    await answers(t, 'version 8', handshake([], { 'Sec-WebSocket-Version': '8' }), 426)
    await answers(t, 'no upgrade', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 426)
    await answers(t, 'POST', handshake().replace('GET', 'POST'), 426)
    const origin = (value: string) => handshake([`Origin: ${value}`])
    await answers(t, 'its origin', origin('https://chat.example'), 101)
    for (const other of [
      'null',
      'http://chat.example',
      'https://chat.example:8443',
      'https://chat.example.evil.tld',
      'https://evilchat.example',
      'https://CHAT.EXAMPLE',
    ]) {
      await answers(t, `origin ${other}`, origin(other), 403)
    }
    const many = [...Array(2000).keys()].map((i) => `X-${i}: y`)
    for (const [name, request] of [
      ['2,000 headers', handshake(many)],
      ['a 64 KiB header', handshake([`X-Long: ${'y'.repeat(65536)}`])],
      ['not HTTP', '\0\x01\x02 nonsense\r\n\r\n'],
      ['HTTP/0.9', 'GET /\r\n\r\n'],
    ] as const) {
      const client = await RawClient.open(port)
      client.write(request)
      await eventually(`${name}: closed`, () => client.closed)
      t.not(client.status, 101, name)
    }
    const twice = await RawClient.open(port)
    twice.write(handshake([`Sec-WebSocket-Key: ${'A'.repeat(22)}==`]))
    await eventually('two keys: an answer', () => twice.status ?? twice.closed)
    twice.destroy()
    await undisturbed()
  })

  await t.test('WebSocket frames that break RFC 6455 cut the connection off', async (t) => {
    const unmasked = wsFrame(helloFrame('uX/vX'), { masked: false })
    const cases: [string, Buffer][] = [
      // Read as masked with whatever stands there, so it is a hello no more.
      ['unmasked', Buffer.concat([...Array(9)].map(() => unmasked))],
      ['RSV1 without an extension', wsFrame(Buffer.of(0x90), { rsv: 4 })],
      ['RSV2', wsFrame(Buffer.of(0x90), { rsv: 2 })],
      ['opcode 3', wsFrame(Buffer.of(0x90), { opcode: 3 })],
      ['opcode 15', wsFrame(Buffer.of(0x90), { opcode: 15 })],
      ['a fragmented ping', wsFrame(Buffer.of(1), { opcode: OPCODES.ping, fin: false })],
      ['a ping of 126 bytes', wsFrame(Buffer.alloc(126), { opcode: OPCODES.ping })],
      ['a continuation of nothing', wsFrame(Buffer.of(1), { opcode: OPCODES.continuation })],
      ['invalid UTF-8 as text', wsFrame(bytes('ff fe'), { opcode: OPCODES.text })],
      ['a message of 2^40 bytes', bytes('82 ff 00 00 01 00 00 00 00 00 00 00 00 00')],
      ['a message of 2^63 bytes', bytes('82 ff ff ff ff ff ff ff ff ff 00 00 00 00')],
    ]
    for (const [name, attack] of cases) {
      for (const welcomed of [false, true]) {
        const client = welcomed
          ? await RawClient.welcomed(port, 'uX/vX')
          : await RawClient.upgraded(port)
        client.write(attack)
        await eventually(`${name}, ${welcomed}: closed`, () => client.closed)
        t.ok(client.closeCode === undefined || client.closeCode >= 1000, name)
      }
    }
    for (const code of [999, 1005, 1006, 65535]) {
      const client = await RawClient.welcomed(port, 'uX/vX')
      const payload = Buffer.alloc(2)
      payload.writeUInt16BE(code)
      client.write(wsFrame(payload, { opcode: OPCODES.close }))
      await eventually(`close ${code}: closed`, () => client.closed)
    }
    const ping = await RawClient.upgraded(port)
    ping.write(wsFrame(Buffer.of(1, 2, 3), { opcode: OPCODES.ping }))
    await eventually('a good ping is answered', () => ping.pongs === 1)
    ping.destroy()
    await undisturbed()
  })

  await t.test('a million one-byte fragments', async () => {
    const client = await RawClient.welcomed(port, 'uX/vX')
    const one = wsFrame(Buffer.of(0x90), { opcode: OPCODES.continuation, fin: false })
    client.write(wsFrame(Buffer.of(0x90), { fin: false }))
    const block = Buffer.concat([...Array(10_000)].map(() => one))
    for (let i = 0; i < 100 && !client.closed; i++) {
      client.write(block)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await eventually('cut off', () => client.closed)
    await undisturbed()
  })

  /** Sends a message and expects the end: an error frame for request 0, then a close code. */
  const ends = async (
    t: Test,
    name: string,
    message: Uint8Array,
    expected: { code: keyof typeof ERRORS; close: number; welcomed: boolean; text?: boolean },
  ): Promise<void> => {
    const client = expected.welcomed
      ? await RawClient.welcomed(port, 'uX/vX')
      : await RawClient.upgraded(port)
    client.write(wsFrame(message, expected.text ? { opcode: OPCODES.text } : {}))
    await eventually(`${name}: closed`, () => client.closed)
    t.equal(client.closeCode, expected.close, name)
    const error = client.frames.at(-1)
    t.match(error, { name: 'error', req: 0, code: ERRORS[expected.code].number }, name)
  }

  await t.test('bytes that are no frame', async (t) => {
    const send = sendFrame(ROOM, 1, 'text')
    const at = (offset: number, replacement: string): Buffer => {
      const copy = Buffer.from(send)
      bytes(replacement).copy(copy, offset)
      return copy
    }
    const lineageAt = 3 + 1 + ROOM.length
    const cases: [string, Uint8Array][] = [
      ['empty', Buffer.alloc(0)],
      ['an empty array', bytes('90')],
      ['array32 of 2^32 - 1', bytes('dd ff ff ff ff')],
      ['map32', bytes('df ff ff ff ff')],
      ['str32', bytes('db 7f ff ff ff')],
      ['ext32', bytes('c9 7f ff ff ff')],
      ['a RegExp', bytes('d6 78 28 61 2b 29')],
      ['a record definition', bytes('d4 72 01')],
      ['a reference to itself', bytes('d6 69 00 00 00 01')],
      ['a map where a frame is due', bytes('81 a9 5f 5f 70 72 6f 74 6f 5f 5f 01')],
      ['nesting of 4,000', nested(4000)],
      ['an unknown frame, nested too deep', Buffer.concat([bytes('92 cd 03 e7'), nested(20)])],
      ['an incomplete remainder', Buffer.concat([encodeFrame('ping', { req: 1 }), bytes('93 01')])],
      ['a negative seq', at(lineageAt, 'ff')],
      [
        'NaN as seq',
        Buffer.concat([send.subarray(0, lineageAt), bytes('cb 7f f8 00 00 00 00 00 00')]),
      ],
      [
        '-0 as seq',
        Buffer.concat([send.subarray(0, lineageAt), bytes('cb 80 00 00 00 00 00 00 00')]),
      ],
      [
        '2^64 - 1 as seq',
        Buffer.concat([send.subarray(0, lineageAt), bytes('cf ff ff ff ff ff ff ff ff')]),
      ],
      ['a type of 2^32', bytes('91 ce ff ff ff ff')],
      ['a string as type', bytes('91 a1 31')],
      ['bytes where text is due', bytes('96 01 01 01 c4 01 61 c0 c0')],
      [
        'invalid UTF-8 in a text',
        Buffer.concat([send.subarray(0, send.length - 6), bytes('a1 ff c0')]),
      ],
    ]
    for (const [name, message] of cases) {
      for (const welcomed of [true, false]) {
        await ends(t, `${name}, ${welcomed}`, message, { code: 'bad_frame', close: 4501, welcomed })
      }
    }
    for (const id of [
      '*',
      '>',
      '',
      'a b',
      '\0',
      'd\r\nPUB',
      '$JS.API.STREAM.DELETE.x',
      'g*aaaaaaaaa',
      'x'.repeat(5120),
    ]) {
      const message = sendFrame(id, 1, 'text')
      await ends(t, `room ${id}`, message, { code: 'bad_frame', close: 4501, welcomed: true })
    }
    const truncated = sendFrame(ROOM, 1, 'text')
    for (let end = 1; end < truncated.length; end += 3) {
      const message = truncated.subarray(0, end)
      await ends(t, `cut at ${end}`, message, { code: 'bad_frame', close: 4501, welcomed: true })
    }
    const text = { code: 'bad_frame', close: 4501, text: true } as const
    await ends(t, 'a text message', Buffer.from('{}'), { ...text, welcomed: true })
    await ends(t, 'a text message first', Buffer.from('{}'), { ...text, welcomed: false })
    await undisturbed()
  })

  await t.test('frames that a client may not send, or not yet', async (t) => {
    const end = { code: 'bad_frame', close: 4501 } as const
    for (const [name, { type, from }] of Object.entries(FRAMES)) {
      if (from === 'server') {
        const frame = Buffer.of(0x92, type, 1)
        await ends(t, name, frame, { ...end, welcomed: true })
      } else if (name !== 'hello') {
        await ends(t, `${name} before hello`, Buffer.of(0x92, type, 1), { ...end, welcomed: false })
      }
    }
    await ends(t, 'a second hello', helloFrame('uX/vX'), { ...end, welcomed: true })
    await ends(t, 'an unknown frame first', bytes('92 cd 03 e7 01'), { ...end, welcomed: false })
    const client = await RawClient.welcomed(port, 'uX/vX')
    client.write(wsFrame(bytes('93 cd 03 e7 05 a1 61')))
    await eventually('a refusal', () => client.frames.at(-1)?.name === 'error')
    t.match(client.frames.at(-1), { req: 5, code: ERRORS.unknown_frame.number })
    client.write(wsFrame(encodeFrame('ping', { req: 6 })))
    await eventually('it stays open', () => client.frames.at(-1)?.name === 'pong')
    client.destroy()
    await undisturbed()
  })

  await t.test('W1 sizes: 4 KiB before the welcome, 64 KiB after', async (t) => {
    const ping = (length: number): Uint8Array => {
      // A ping with one field too many, which a newer client might send.
      const filler = length - 6
      return Buffer.concat([
        bytes(`93 ${FRAMES.ping.type.toString(16).padStart(2, '0')} 07 c5`),
        Buffer.of(filler >> 8, filler & 255),
        Buffer.alloc(filler),
      ])
    }
    const hello = Buffer.concat([Buffer.of(0x97), helloFrame('uX/vX').subarray(1)])
    const padded = (length: number): Uint8Array => {
      const filler = length - hello.length - 3
      const head = Buffer.of(0xc5, filler >> 8, filler & 255)
      return Buffer.concat([hello, head, Buffer.alloc(filler)])
    }
    const fits = await RawClient.upgraded(port)
    fits.write(wsFrame(padded(4096)))
    await eventually('4,096 bytes are read', () => fits.frames[0]?.name === 'welcome')
    fits.write(wsFrame(ping(65_536)))
    await eventually('65,536 bytes are read', () => fits.frames[1]?.name === 'pong')
    fits.destroy()
    const end = { code: 'too_large', close: 4502 } as const
    await ends(t, '4,097 before', padded(4097), { ...end, welcomed: false })
    await ends(t, '65,537 after', ping(65_537), { ...end, welcomed: true })
    const huge = await RawClient.welcomed(port, 'uX/vX')
    huge.write(wsFrame(Buffer.alloc(200_000)))
    await eventually('200,000 bytes: cut off', () => huge.closed)

    const large = await RawClient.welcomed(port, 'uX/vX')
    large.write(wsFrame(sendFrame(ROOM, 1, 'y'.repeat(8193))))
    await eventually('an answer', () => large.frames.length === 2)
    t.match(large.frames[1], { name: 'error', req: 1, code: ERRORS.too_large.number })
    large.write(wsFrame(sendFrame(ROOM, 2, 'y'.repeat(8192))))
    await eventually('8,192 bytes of text are taken', () => large.frames[2]?.name === 'ack')
    large.write(wsFrame(sendFrame(ROOM, 3, 'é'.repeat(4097))))
    await eventually('bytes count, not characters', () => large.frames[3]?.name === 'error')
    large.destroy()
    await undisturbed()
  })

  await t.test('several frames share a message, in any split of the bytes', async (t) => {
    const client = await RawClient.welcomed(port, 'uX/vX')
    const message = Buffer.concat([
      sendFrame(ROOM, 1, 'one'),
      encodeFrame('ping', { req: 2 }),
      sendFrame(ROOM, 3, 'three'),
    ])
    for (const byte of wsFrame(message)) client.write(Buffer.of(byte))
    await eventually('all answers', () => client.frames.length === 4)
    t.strictSame(
      client.frames.map((frame) => ('req' in frame ? frame.req : 0)).toSorted(),
      [1, 1, 2, 3],
    )
    client.destroy()
  })

  t.equal(bystander.closed, undefined)
  t.notOk(
    world.lines.some((line) => line.includes('"error"')),
    'nothing of it is an error of the gateway',
  )
})
