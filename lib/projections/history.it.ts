import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { type Nats, parseAppendReply } from '../bus/bus.ts'
import { fromJson, toJson } from '../bus/cluster.ts'
import { connectNats } from '../bus/nats.ts'
import { readFloor } from '../bus/projections.ts'
import { parseRoomId, parseUserId, type RoomId } from '../ids.ts'
import { writeEvent } from '../protocol/hot.ts'
import { encodeBatch, type LogRecord } from '../protocol/records.ts'
import { Writer } from '../protocol/writer.ts'
import { levelHistory } from '../store/level/level-history.ts'
import { openLevel } from '../store/level/open.ts'
import { eventually } from '../testing/eventually.ts'
import { startNats } from '../testing/servers/nats.ts'

const BATCHES = 2_000
const ROOMS = 10
const sender = parseUserId('uann')!
const rooms: RoomId[] = Array.from({ length: ROOMS }, (_, n) => parseRoomId(`groom-${n}-room`)!)

const makeStream = async (nats: Nats, name: string, subjects: string[], bucket: boolean) => {
  const config = {
    name,
    subjects,
    storage: 'file',
    retention: 'limits',
    discard: 'new',
    num_replicas: 1,
    max_msgs_per_subject: bucket ? 1 : -1,
    allow_direct: true,
    allow_rollup_hdrs: bucket,
  }
  const answer = await nats.request(`$JS.API.STREAM.CREATE.${name}`, toJson(config), 5000)
  const { error } = fromJson<{ error?: unknown }>(answer)
  if (error !== undefined) throw new Error(JSON.stringify(error))
}

const eventOf = (room: RoomId, seq: number) => ({
  room,
  seq,
  ord: seq,
  id: BigInt(seq) << 22n,
  time: 1_700_000_000_000 + seq,
  sender,
  type: 1,
  body: new Writer()
    .array(1)
    .str(`message ${seq} in ${room} — ${'é中🙂'.repeat(seq % 7)}`)
    .take(),
})

/** Batch n holds an event of every third room; returns the events of each room in it. */
const batchOf = (n: number, heads: Map<RoomId, number>): Uint8Array => {
  const records: LogRecord[] = []
  rooms.forEach((room, r) => {
    if ((n + r) % 3 !== 0) return
    const seq = (heads.get(room) ?? 0) + 1
    heads.set(room, seq)
    const numbered = { lineage: 1, n: seq, low: seq, hash: seq }
    records.push({ kind: 'event', ...numbered, ...eventOf(room, seq) })
  })
  records.push({ kind: 'tick' })
  return encodeBatch({ epoch: 1, number: n, prev: n, view: 1, records })
}

t.test('the history is complete and exact, whatever is killed meanwhile', async (t) => {
  const server = await startNats(t)
  const directory = join(t.testdir(), 'data')
  const nats = await connectNats({ servers: [server.url], name: 'test' })
  t.teardown(() => nats.close())
  await makeStream(nats, 'LOG_0', ['log.*'], false)
  await makeStream(nats, 'KV_cluster', ['$KV.cluster.>'], true)
  for (const name of ['checkpoints', 'projectors', 'aside']) {
    await makeStream(nats, `KV_${name}`, [`$KV.${name}.>`], true)
  }
  const checkpoints = await nats.bucket('checkpoints')
  const cluster = await nats.bucket('cluster')

  const heads = new Map<RoomId, number>()
  const undecided = new Map<string, Uint8Array>()
  let appended = 0
  const inbox = nats.inbox((n, reply) => {
    if (parseAppendReply(reply).ok) undecided.delete(n)
  })
  t.teardown(() => inbox.close())
  const send = (n: string, batch: Uint8Array) =>
    nats.streams.append('log.0', batch, undefined, `${inbox.prefix}.${n}`)
  const append = async (count: number) => {
    for (let left = count; left > 0; left--) {
      const batch = batchOf(++appended, heads)
      undecided.set(String(appended), batch)
      send(String(appended), batch)
    }
    await eventually('the log has them', () => undecided.size === 0, { within: 20_000 })
  }
  const floor = async () => {
    const entry = await checkpoints.get('floor.history.0')
    return readFloor(entry?.value).position
  }

  const projector = async () => {
    const child: ChildProcess = spawn(
      process.execPath,
      [fileURLToPath(new URL('projector.fixture.ts', import.meta.url)), server.url, directory],
      { stdio: 'inherit' },
    )
    t.teardown(() => child.kill('SIGKILL'))
    return { child, ended: once(child, 'exit') }
  }
  const storedFloor = async () => {
    const history = levelHistory(await openLevel(directory))
    const stored = await history.floor(0)
    await history.close()
    return stored
  }

  let highest = 0
  let cutShort = 0
  for (let round = 1; round <= 4; round++) {
    await append(BATCHES / 5)
    const { child, ended } = await projector()
    // The first floor that it publishes, or the end: somewhere in the middle of the work.
    await eventually('its floor rises', async () => (await floor()) > highest, { within: 20_000 })
    child.kill('SIGKILL')
    await ended
    const published = await floor()
    t.ok(published >= highest, 'the published floor never falls')
    const stored = await storedFloor()
    if (stored < appended) cutShort++
    t.ok(stored >= published, 'what is published is stored')
    highest = published
  }
  t.ok(cutShort > 0, `${cutShort} of 4 kills found it at work`)
  t.same(fromJson((await cluster.get('projections'))!.value!), ['history'])

  const { child, ended } = await projector()
  await append(BATCHES / 10)
  await eventually('it is at work', async () => (await floor()) > highest, { within: 20_000 })
  await server.kill()
  await server.start()
  const probe = () => nats.request('$JS.API.STREAM.INFO.LOG_0', new Uint8Array(), 200)
  await eventually('JetStream answers', probe, { within: 20_000 })
  await append(BATCHES / 10)
  await eventually('all is stored', async () => (await floor()) === BATCHES, { within: 40_000 })
  child.kill('SIGTERM')
  const [code] = await ended
  t.equal(code, 0, 'it drained')

  const history = levelHistory(await openLevel(directory))
  t.teardown(() => history.close())
  t.equal(await history.floor(0), BATCHES)
  for (const room of rooms) {
    const page = await history.page(room, 1, Number.MAX_SAFE_INTEGER)
    const exact = page.every(
      ({ seq, frame }, n) =>
        seq === n + 1 &&
        Buffer.compare(frame, writeEvent(new Writer(), eventOf(room, seq)).take()) === 0,
    )
    t.equal(page.length, heads.get(room), `${room} has every event`)
    t.ok(exact, `${room} has each once, in order, byte for byte`)
  }
})
