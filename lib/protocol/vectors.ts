/**
 * Bytes that every implementation of the protocol must write and read: made with another implementation, not with the
 * code that they test. PROTOCOL.md shows them.
 */
import type { RoomId, UserId } from '../ids.ts'
import type { Frame, FrameName } from './frames.ts'

/** Integers at the borders of their forms (contracts W2). */
export const INTEGERS: readonly (readonly [value: number, hex: string])[] = [
  [0, '00'],
  [1, '01'],
  [2 ** 7 - 1, '7f'],
  [2 ** 7, 'cc80'],
  [2 ** 7 + 1, 'cc81'],
  [2 ** 8 - 1, 'ccff'],
  [2 ** 8, 'cd0100'],
  [2 ** 8 + 1, 'cd0101'],
  [2 ** 16 - 1, 'cdffff'],
  [2 ** 16, 'ce00010000'],
  [2 ** 16 + 1, 'ce00010001'],
  [2 ** 31 - 1, 'ce7fffffff'],
  [2 ** 31, 'ce80000000'],
  [2 ** 31 + 1, 'ce80000001'],
  [2 ** 32 - 1, 'ceffffffff'],
  [2 ** 32, 'cf0000000100000000'],
  [2 ** 32 + 1, 'cf0000000100000001'],
  [2 ** 53 - 2, 'cf001ffffffffffffe'],
  [2 ** 53 - 1, 'cf001fffffffffffff'],
]

export type Example = {
  readonly [N in FrameName]: {
    readonly name: N
    /** What it shows; empty when that is plain. */
    readonly note: string
    readonly frame: Frame<N>
    readonly hex: string
  }
}[FrameName]

const hex = (text: string): Uint8Array =>
  Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))

const ada = 'uAda' as UserId
const bob = 'uBob' as UserId
const cleo = 'uCleo' as UserId
/** Of Ada and Bob. */
const dm = 'd0C4Pu4a0HhA3pQ-esRcvaF' as RoomId
const group = 'gV1StGXR8_Z5jdHi6B-myT' as RoomId
const lineage = 115_923_443_752_964
const time = 1_795_510_800_000

const at = (position: number) => ({ stream: 'x7Kq', position })
const numbered = (req: number, room: RoomId, join: number, n: number, low: number) => ({
  req,
  room,
  lineage,
  join,
  n,
  low,
})
const dmPointer = {
  room: dm,
  version: 51200,
  head: 129,
  ord: 128,
  time,
  read: 100,
  readOrd: 99,
  from: 1,
  join: 0,
  role: 0,
  flags: 0,
  title: 'uBob',
  sender: bob,
  preview: 'Bis später! 👋',
}

/** A frame of every type, in the order of the table. */
export const EXAMPLES: readonly Example[] = [
  {
    name: 'hello',
    note: 'a device that has nothing yet',
    frame: { req: 1, version: 1, token: 'eyJhbGciOi', cursor: null, lineage: null },
    hex: '96010101aa65794a68624763694f69c0c0',
  },
  {
    name: 'hello',
    note: 'the same device later, with its resume token',
    frame: { req: 1, version: 1, token: 'r1.Zm9v', cursor: at(65_536), lineage },
    hex: '96010101a772312e5a6d397692a478374b71ce00010000cf0000696e87afa004',
  },
  {
    name: 'welcome',
    note: '',
    frame: {
      req: 1,
      user: ada,
      device: 'vPhone',
      time,
      heartbeat: 30000,
      lineage,
      resume: 'r1.Zm9v',
      textLimit: 8192,
      cursor: at(65_536),
      full: true,
      more: false,
      changes: [dmPointer],
    },
    hex: '9d0201a475416461a67650686f6e65cf000001a20cc88e80cd7530cf0000696e87afa004a772312e5a6d3976cd200092a478374b71ce00010000c3c2919eb76430433450753461304868413370512d65735263766146cdc800cc81cc80cf000001a20cc88e80646301000000a475426f62a475426f62b1426973207370c3a47465722120f09f918b',
  },
  {
    name: 'ping',
    note: '',
    frame: { req: 200 },
    hex: '9203ccc8',
  },
  {
    name: 'pong',
    note: '',
    frame: { req: 200, time, cursor: at(65_540) },
    hex: '9404ccc8cf000001a20cc88e8092a478374b71ce00010004',
  },
  {
    name: 'error',
    note: 'command 7 must come first',
    frame: { req: 258, code: 32, temporary: true, retryAfter: 100, detail: '7' },
    hex: '9605cd010220c364a137',
  },
  {
    name: 'error',
    note: 'before a close',
    frame: { req: 0, code: 1, temporary: false, retryAfter: 0, detail: 'truncated' },
    hex: '96050001c200a97472756e6361746564',
  },
  {
    name: 'goaway',
    note: '',
    frame: { retryAfter: 2500 },
    hex: '9206cd09c4',
  },
  {
    name: 'ok',
    note: '',
    frame: { req: 9 },
    hex: '920709',
  },
  {
    name: 'create',
    note: '',
    frame: {
      ...numbered(2, group, 0, 1, 1),
      title: 'Tea',
      openHistory: false,
      members: [bob, cleo],
    },
    hex: '9a0a02b66756315374475852385f5a356a64486936422d6d7954cf0000696e87afa004000101a3546561c292a475426f62a575436c656f',
  },
  {
    name: 'add',
    note: '',
    frame: { ...numbered(3, group, 0, 2, 2), users: [bob] },
    hex: '980b03b66756315374475852385f5a356a64486936422d6d7954cf0000696e87afa00400020291a475426f62',
  },
  {
    name: 'remove',
    note: '',
    frame: { ...numbered(4, group, 0, 3, 3), user: cleo },
    hex: '980c04b66756315374475852385f5a356a64486936422d6d7954cf0000696e87afa004000303a575436c656f',
  },
  {
    name: 'leave',
    note: 'by a member who joined with event 40',
    frame: { ...numbered(5, group, 40, 4, 4) },
    hex: '970d05b66756315374475852385f5a356a64486936422d6d7954cf0000696e87afa004280404',
  },
  {
    name: 'role',
    note: '',
    frame: { ...numbered(6, group, 0, 5, 5), user: bob, role: 1 },
    hex: '990e06b66756315374475852385f5a356a64486936422d6d7954cf0000696e87afa004000505a475426f6201',
  },
  {
    name: 'send',
    note: 'the first message to Bob',
    frame: { ...numbered(7, dm, 0, 1, 1), text: 'Hi Bob! 🙂', peer: bob },
    hex: '991407b76430433450753461304868413370512d65735263766146cf0000696e87afa004000101ac486920426f622120f09f9982a475426f62',
  },
  {
    name: 'send',
    note: 'to a group, while 129 and 130 are not answered yet',
    frame: { ...numbered(70000, group, 40, 131, 129), text: 'Tea?', peer: null },
    hex: '9914ce00011170b66756315374475852385f5a356a64486936422d6d7954cf0000696e87afa00428cc83cc81a45465613fc0',
  },
  {
    name: 'ack',
    note: '',
    frame: { req: 7, seq: 2, id: 118_627_605_381_120_005n, time },
    hex: '95150702cf01a5732db74c0005cf000001a20cc88e80',
  },
  {
    name: 'event',
    note: 'the dm was made',
    frame: {
      room: dm,
      seq: 1,
      ord: 0,
      id: 118_627_605_381_120_004n,
      time,
      sender: ada,
      kind: 0,
      body: hex('93a0c39292a4754164610092a475426f6200'),
    },
    hex: '9916b76430433450753461304868413370512d657352637661460100cf01a5732db74c0004cf000001a20cc88e80a4754164610093a0c39292a4754164610092a475426f6200',
  },
  {
    name: 'event',
    note: 'a message',
    frame: {
      room: dm,
      seq: 2,
      ord: 1,
      id: 118_627_605_381_120_005n,
      time,
      sender: ada,
      kind: 1,
      body: hex('91ac486920426f622120f09f9982'),
    },
    hex: '9916b76430433450753461304868413370512d657352637661460201cf01a5732db74c0005cf000001a20cc88e80a4754164610191ac486920426f622120f09f9982',
  },
  {
    name: 'skip',
    note: 'events 3 to 300 are not for you',
    frame: { room: group, first: 3, last: 300 },
    hex: '9417b66756315374475852385f5a356a64486936422d6d795403cd012c',
  },
  {
    name: 'mark',
    note: '',
    frame: { room: dm, user: bob, kind: 1, seq: 2, ord: 1 },
    hex: '9618b76430433450753461304868413370512d65735263766146a475426f62010201',
  },
  {
    name: 'fetch',
    note: 'the newest 50 events',
    frame: { req: 10, room: dm, from: 0, limit: 50, back: true },
    hex: '961e0ab76430433450753461304868413370512d657352637661460032c3',
  },
  {
    name: 'page',
    note: '',
    frame: {
      req: 10,
      room: dm,
      head: 2,
      first: 1,
      events: [
        hex(
          '9916b76430433450753461304868413370512d657352637661460100cf01a5732db74c0004cf000001a20cc88e80a4754164610093a0c39292a4754164610092a475426f6200',
        ),
        hex(
          '9916b76430433450753461304868413370512d657352637661460201cf01a5732db74c0005cf000001a20cc88e80a4754164610191ac486920426f622120f09f9982',
        ),
      ],
    },
    hex: '961f0ab76430433450753461304868413370512d657352637661460201929916b76430433450753461304868413370512d657352637661460100cf01a5732db74c0004cf000001a20cc88e80a4754164610093a0c39292a4754164610092a475426f62009916b76430433450753461304868413370512d657352637661460201cf01a5732db74c0005cf000001a20cc88e80a4754164610191ac486920426f622120f09f9982',
  },
  {
    name: 'sync',
    note: '',
    frame: { req: 11, cursor: at(65_540) },
    hex: '93200b92a478374b71ce00010004',
  },
  {
    name: 'changes',
    note: 'a push: Ada was removed from the group',
    frame: {
      req: 0,
      cursor: at(65_541),
      full: false,
      more: false,
      changes: [
        {
          room: group,
          version: 70000,
          head: 300,
          ord: 280,
          time,
          read: 300,
          readOrd: 280,
          from: 1,
          join: 0,
          role: 0,
          flags: 1,
          title: 'Tea',
          sender: bob,
          preview: null,
        },
      ],
    },
    hex: '96210092a478374b71ce00010005c2c2919eb66756315374475852385f5a356a64486936422d6d7954ce00011170cd012ccd0118cf000001a20cc88e80cd012ccd011801000001a3546561a475426f62c0',
  },
  {
    name: 'queue',
    note: '',
    frame: { req: 12, on: true },
    hex: '93220cc3',
  },
  {
    name: 'queued',
    note: '',
    frame: {
      n: 1,
      stamp: 65542,
      reset: false,
      pointer: dmPointer,
      events: [
        hex(
          '9916b76430433450753461304868413370512d657352637661460201cf01a5732db74c0005cf000001a20cc88e80a4754164610191ac486920426f622120f09f9982',
        ),
      ],
    },
    hex: '962301ce00010006c29eb76430433450753461304868413370512d65735263766146cdc800cc81cc80cf000001a20cc88e80646301000000a475426f62a475426f62b1426973207370c3a47465722120f09f918b919916b76430433450753461304868413370512d657352637661460201cf01a5732db74c0005cf000001a20cc88e80a4754164610191ac486920426f622120f09f9982',
  },
  {
    name: 'queueAck',
    note: '',
    frame: { req: 13, n: 1 },
    hex: '93240d01',
  },
  {
    name: 'read',
    note: '',
    frame: { req: 14, room: dm, seq: 129, ord: 128 },
    hex: '95280eb76430433450753461304868413370512d65735263766146cc81cc80',
  },
  {
    name: 'open',
    note: 'is there a dm with Bob?',
    frame: { req: 15, room: dm, peer: bob, lineage },
    hex: '95290fb76430433450753461304868413370512d65735263766146a475426f62cf0000696e87afa004',
  },
  {
    name: 'info',
    note: '',
    frame: {
      req: 15,
      room: dm,
      head: 2,
      ord: 1,
      from: 1,
      join: 0,
      lastN: 1,
      role: 0,
      title: '',
      openHistory: true,
      members: [
        { user: ada, role: 0, read: 2 },
        { user: bob, role: 0, read: 0 },
      ],
    },
    hex: '9c2a0fb76430433450753461304868413370512d65735263766146020101000100a0c39293a475416461000293a475426f620000',
  },
]
