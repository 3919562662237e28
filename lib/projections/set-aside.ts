/**
 * Records that a projection could not read or store. They are copied to KV `aside` before its floor passes them, so that
 * the log may be trimmed; whoever follows the stream again (a version that can read them) takes them up.
 *
 * One key for each: `<projection>.<k>.<position>`, JSON.
 */
import type { Bucket } from '../bus/bus.ts'
import { fromJson, toJson } from '../bus/cluster.ts'
import type { StreamRecord } from '../bus/record-source.ts'
import type { ProjectionName } from '../metrics.ts'

const REASON_MAX = 1000

type Kept = { readonly reason: string; readonly subject: string; readonly data: string }

export type AsideRecord = StreamRecord & { readonly reason: string }

export type SetAside = {
  /** Keeps a record; the same record again changes nothing but the reason. */
  put(record: StreamRecord, reason: string): Promise<void>
  /** Their positions, ascending. */
  positions(): Promise<number[]>
  list(): Promise<AsideRecord[]>
  remove(position: number): Promise<void>
}

export const setAside = (aside: Bucket, name: ProjectionName, stream: number): SetAside => {
  const prefix = `${name}.${stream}.`
  const positions = async (): Promise<number[]> =>
    (await aside.keys())
      .filter((key) => key.startsWith(prefix))
      .map((key) => Number(key.slice(prefix.length)))
      .sort((a, b) => a - b)
  return {
    put: async ({ position, subject, data }, reason) => {
      const kept: Kept = {
        reason: reason.slice(0, REASON_MAX),
        subject,
        data: Buffer.from(data).toString('base64'),
      }
      await aside.put(`${prefix}${position}`, toJson(kept))
    },
    positions,
    list: async () => {
      const records: AsideRecord[] = []
      for (const position of await positions()) {
        const value = (await aside.get(`${prefix}${position}`))?.value
        if (value === undefined) continue
        const { subject, data, reason } = fromJson<Kept>(value)
        records.push({
          ...{ position, subject, reason },
          data: new Uint8Array(Buffer.from(data, 'base64')),
        })
      }
      return records
    },
    remove: (position) => aside.remove(`${prefix}${position}`),
  }
}
