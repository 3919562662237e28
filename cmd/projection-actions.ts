/** What `parley projection`, `rebuild` and `verify` do on a cluster. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Nats } from '../lib/bus/bus.ts'
import { PROJECTIONS, type ProjectionName } from '../lib/metrics.ts'
import * as admin from '../lib/projections/admin.ts'
import { askAudit } from '../lib/projections/audit.ts'
import type { Difference } from '../lib/projections/verify.ts'
import type { FixedShape } from '../nats/shape.ts'

const LOOK_MS = 500

type Say = (line: string) => void

const named = (name: string): ProjectionName => {
  const found = PROJECTIONS.find((one) => one === name)
  if (found === undefined) {
    throw new Error(`There is no projection ${name}; there are: ${PROJECTIONS.join(', ')}`)
  }
  return found
}

const statusLine = (one: admin.StreamStatus): string => {
  const { host, pid, holder, paused, rebuild } = one
  const who = host === undefined ? (holder ?? 'nobody') : `${host} pid ${pid}`
  const percent = rebuild === undefined ? '' : `, rebuild ${Math.floor(rebuild * 100)} %`
  return (
    `${one.projection} stream ${one.stream}: position ${one.position}, lag ${one.lag}, ` +
    `set aside ${one.setAside}, ${paused ? 'paused' : 'followed'} by ${who}${percent}`
  )
}

export const list = async (
  nats: Nats,
  { streams }: FixedShape,
  json: boolean,
  say: Say,
): Promise<void> => {
  for (const name of PROJECTIONS) {
    for (const one of await admin.projectionStatus(nats, name, streams)) {
      say(json ? JSON.stringify(one) : statusLine(one))
    }
  }
}

export const listAside = async (
  nats: Nats,
  { streams }: FixedShape,
  projection: string,
  json: boolean,
  say: Say,
): Promise<void> => {
  const name = named(projection)
  for (let stream = 0; stream < streams; stream++) {
    for (const { position, subject, reason, data } of await admin.recordsAside(
      nats,
      name,
      stream,
    )) {
      const base64 = Buffer.from(data).toString('base64')
      say(
        json
          ? JSON.stringify({ stream, position, subject, reason, data: base64 })
          : `stream ${stream} position ${position} ${subject} ${data.length} bytes: ${reason}`,
      )
    }
  }
}

export const setPaused = async (
  nats: Nats,
  projection: string,
  paused: boolean,
  say: Say,
): Promise<void> => {
  await admin.setPaused(nats, named(projection), paused)
  say(`${projection} is ${paused ? 'paused' : 'resumed'}`)
}

/** Asks for a rebuild and, with `wait`, waits for its end. */
export const rebuild = async (
  nats: Nats,
  { streams }: FixedShape,
  projection: string,
  wait: boolean,
  say: Say,
): Promise<void> => {
  const name = named(projection)
  const number = await admin.askRebuild(nats, name)
  say(`rebuild ${number} of ${name} is asked for`)
  let told = ''
  while (wait && !(await admin.isRebuilt(nats, name, streams, number))) {
    const status = await admin.projectionStatus(nats, name, streams)
    const waited = status.filter((one) => one.rebuild !== undefined || one.paused || !one.host)
    const lines = waited.map(statusLine).join('\n')
    if (lines !== told && lines !== '') say(lines)
    told = lines
    await pause(LOOK_MS)
  }
  if (wait) say(`rebuild ${number} of ${name} is done`)
}

const WORDS: Record<Difference['what'], string> = {
  missing: 'the log has it, the history does not',
  bytes: 'the history has other bytes than the log',
  hole: 'neither the history nor the log has it',
  unreadable: 'a record of the log that can’t be read',
}

const differenceLine = ({ room, first, last, what }: Difference, stream: number): string => {
  const range = first === last ? String(first) : `${first}-${last}`
  const where = room === '' ? `log stream ${stream} position ${range}` : `room ${room} seq ${range}`
  return `${where}: ${what}: ${WORDS[what]}`
}

/** Answers how many differences there are; each was told. */
export const verify = async (
  nats: Nats,
  { streams }: FixedShape,
  json: boolean,
  say: Say,
): Promise<number> => {
  const sum = { records: 0, events: 0, rooms: 0, differences: 0 }
  for (let stream = 0; stream < streams; stream++) {
    const holder = await admin.holderOf(nats, 'history', stream)
    if (holder === undefined) {
      throw new Error(`Nobody follows log stream ${stream}: start \`parley up\` or a projector.`)
    }
    const verified = await askAudit(nats, holder, stream, (difference) => {
      sum.differences++
      say(json ? JSON.stringify({ stream, ...difference }) : differenceLine(difference, stream))
    })
    sum.records += verified.records
    sum.events += verified.events
    sum.rooms += verified.rooms
  }
  const { records, events, rooms, differences } = sum
  const told = differences === 0 ? 'no difference' : `${differences} differences`
  say(
    json
      ? JSON.stringify(sum)
      : `${records} log records with ${events} events, ${rooms} rooms: ${told}`,
  )
  return differences
}
