import t from 'tap'
import {
  newDeviceId,
  newGatewayId,
  newGroupId,
  newIncarnation,
  newUserId,
  parseDeviceId,
  parseRoomId,
  parseUserId,
} from './ids.ts'
import {
  BEAT,
  gatewaySubject,
  hostSubject,
  inboxSubject,
  liveSubject,
  logSubject,
  queueSubject,
  roomSubject,
  streamOf,
  userSubject,
} from './subjects.ts'

t.test('subjects are those of the architecture', async (t) => {
  const user = parseUserId('uAda')!
  const room = parseRoomId('gV1StGXR8_Z5jdHi6B-myT')!
  t.equal(roomSubject(36, room), 'room.36.gV1StGXR8_Z5jdHi6B-myT')
  t.equal(userSubject(20, user), 'user.20.uAda')
  t.equal(liveSubject(user), 'live.uAda')
  t.equal(logSubject(0), 'log.0')
  t.equal(inboxSubject(63), 'inbox.63')
  t.equal(queueSubject(3, user, parseDeviceId('vPhone')!), 'queue.3.uAda.vPhone')
})

t.test('every subject is valid for NATS and its own', async (t) => {
  const user = newUserId()
  const subjects = [
    roomSubject(1, newGroupId()),
    userSubject(1, user),
    hostSubject(newIncarnation()),
    gatewaySubject(newGatewayId()),
    liveSubject(user),
    logSubject(1),
    inboxSubject(1),
    queueSubject(0, user, newDeviceId()),
  ]
  for (const subject of subjects) t.match(subject, /^[a-z]+(\.[A-Za-z0-9_-]+)+$/)
  t.match(BEAT, /^[a-z]+$/)
  subjects.push(BEAT)
  t.equal(new Set(subjects.map((subject) => subject.split('.')[0])).size, subjects.length)
})

t.test('partitions spread over the streams of a family by p mod K', async (t) => {
  t.equal(streamOf('LOG', 0, 8), 'LOG_0')
  t.equal(streamOf('LOG', 13, 8), 'LOG_5')
  t.equal(streamOf('INBOX', 63, 1), 'INBOX_0')
  t.equal(streamOf('QUEUE', 9, 8), 'QUEUE_1')
})
