/**
 * Records that a projection could not read or store. They are copied to KV `checkpoints` before its floor passes them,
 * so that the log may be trimmed; whoever starts the projection again (a version that can read them) takes them up.
 *
 * One key for each: `aside.<projection>.<k>.<position>`, JSON.
 */
import type { Bucket } from '../bus/bus.ts'
import { fromJson, toJson } from '../bus/cluster.ts'
import type { StreamRecord } from '../bus/record-source.ts'
import type { ProjectionName } from '../metrics.ts'

const REASON_MAX = 1000

type Kept = { readonly reason: string; readonly subject: string; readonly data: string }

export type SetAside = {
  /** Keeps a record; the same record again changes nothing but the reason. */
  put(record: StreamRecord, reason: string): Promise<void>
  list(): Promise<StreamRecord[]>
  remove(position: number): Promise<void>
}

export const setAside = (checkpoints: Bucket, name: ProjectionName, stream: number): SetAside => {
  const prefix = `aside.${name}.${stream}.`
  return {
    put: async ({ position, subject, data }, reason) => {
      const kept: Kept = {
        reason: reason.slice(0, REASON_MAX),
        subject,
        data: Buffer.from(data).toString('base64'),
      }
      await checkpoints.put(`${prefix}${position}`, toJson(kept))
    },
    list: async () => {
      const records: StreamRecord[] = []
      for (const key of await checkpoints.keys()) {
        if (!key.startsWith(prefix)) continue
        const value = (await checkpoints.get(key))?.value
        if (value === undefined) continue
        const { subject, data } = fromJson<Kept>(value)
        const position = Number(key.slice(prefix.length))
        records.push({ position, subject, data: new Uint8Array(Buffer.from(data, 'base64')) })
      }
      return records.sort((a, b) => a.position - b.position)
    },
    remove: (position) => checkpoints.remove(`${prefix}${position}`),
  }
}
