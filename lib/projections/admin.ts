/** What operators ask of projections and tell them, over NATS alone. */
import type { Nats } from '../bus/bus.ts'
import { fromJson } from '../bus/cluster.ts'
import { floorKey, readFloor } from '../bus/projections.ts'
import type { ProjectionName } from '../metrics.ts'
import { streamOf } from '../subjects.ts'
import { changeWanted } from './leases.ts'
import { type AsideRecord, setAside } from './set-aside.ts'
import {
  type Lease,
  leaseKey,
  type Member,
  memberKey,
  NOTHING_WANTED,
  type Wanted,
  wantedKey,
} from './shares.ts'

export type StreamStatus = {
  readonly projection: ProjectionName
  readonly stream: number
  /** Everything up to here is stored, and the log knows it. */
  readonly position: number
  /** Records that are not stored yet. */
  readonly lag: number
  /** The process that follows it; `host` and `pid` when it is alive. */
  readonly holder: string | undefined
  readonly host: string | undefined
  readonly pid: number | undefined
  readonly paused: boolean
  readonly setAside: number
  /** Share of the rebuild that is under way, 0 to 1; undefined when none is. */
  readonly rebuild: number | undefined
}

const readJson = async <T>(
  nats: Nats,
  bucket: 'cluster' | 'projectors',
  key: string,
): Promise<T | undefined> => {
  const value = (await (await nats.bucket(bucket)).get(key))?.value
  return value === undefined ? undefined : fromJson<T>(value)
}

/** Who follows the stream; undefined when nobody does. @throws ParleyError unavailable */
export const holderOf = async (
  nats: Nats,
  projection: ProjectionName,
  stream: number,
): Promise<string | undefined> =>
  (await readJson<Lease>(nats, 'cluster', leaseKey(projection, stream)))?.holder

/** @throws ParleyError unavailable */
export const projectionStatus = async (
  nats: Nats,
  projection: ProjectionName,
  streams: number,
): Promise<StreamStatus[]> => {
  const wanted = (await readJson<Wanted>(nats, 'cluster', wantedKey(projection))) ?? NOTHING_WANTED
  const [checkpoints, aside] = [await nats.bucket('checkpoints'), await nats.bucket('aside')]
  const all: StreamStatus[] = []
  for (let stream = 0; stream < streams; stream++) {
    const floor = readFloor((await checkpoints.get(floorKey(projection, stream)))?.value)
    const holder = await holderOf(nats, projection, stream)
    const member =
      holder === undefined
        ? undefined
        : await readJson<Member>(nats, 'projectors', memberKey(projection, holder))
    const log = streamOf('LOG', stream, streams)
    const consumer = await nats.streams.consumer(log, `projection_${projection}`)
    const { firstSeq, lastSeq } = await nats.streams.state(log)
    const { rebuild } = floor
    const done = (at: number, until: number) =>
      until === 0 ? 0 : Math.max(0, at - firstSeq + 1) / Math.max(1, until - firstSeq + 1)
    all.push({
      ...{ projection, stream, holder, paused: wanted.paused, position: floor.position },
      ...{ host: member?.host, pid: member?.pid },
      lag:
        consumer === undefined
          ? Math.max(0, lastSeq - Math.max(floor.position, firstSeq - 1))
          : consumer.pending + consumer.unacked,
      setAside: (await setAside(aside, projection, stream).positions()).length,
      rebuild: rebuild && done(rebuild.at, rebuild.until),
    })
  }
  return all
}

/** @throws ParleyError unavailable */
export const setPaused = async (
  nats: Nats,
  projection: ProjectionName,
  paused: boolean,
): Promise<void> => {
  await changeWanted(await nats.bucket('cluster'), projection, (wanted) => ({ ...wanted, paused }))
}

/** Asks for a rebuild of every stream; answers its number. @throws ParleyError unavailable */
export const askRebuild = async (nats: Nats, projection: ProjectionName): Promise<number> => {
  const more = (wanted: Wanted): Wanted => ({ ...wanted, rebuild: wanted.rebuild + 1 })
  return (await changeWanted(await nats.bucket('cluster'), projection, more)).rebuild
}

/** True when rebuild `number` has come to its end on every stream. @throws ParleyError unavailable */
export const isRebuilt = async (
  nats: Nats,
  projection: ProjectionName,
  streams: number,
  number: number,
): Promise<boolean> => {
  const checkpoints = await nats.bucket('checkpoints')
  for (let stream = 0; stream < streams; stream++) {
    const entry = await checkpoints.get(floorKey(projection, stream))
    if (readFloor(entry?.value).rebuilt < number) return false
  }
  return true
}

/** @throws ParleyError unavailable */
export const recordsAside = async (
  nats: Nats,
  projection: ProjectionName,
  stream: number,
): Promise<AsideRecord[]> => setAside(await nats.bucket('aside'), projection, stream).list()
