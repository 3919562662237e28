import { ParleyError } from '../../errors.ts'

/** A row to write and the partition that it goes to; `key` is the same for rows of one partition and for no others. */
export type Write = {
  readonly key: string
  readonly bytes: number
  readonly params: readonly unknown[]
}

/**
 * Rows of one unlogged batch, all of one partition, so that it is one mutation: neither store checks the size of such
 * a batch against its limit for batches, but each writes it to the commit log as one piece. From 32 rows on a row costs
 * no less (adr/0017).
 */
export const BATCH_ROWS = 32
export const BATCH_BYTES = 128 << 10

/**
 * Writes of the same partition together, in their order, at most BATCH_ROWS of them and BATCH_BYTES in all (a single
 * larger one goes alone). A partition's batches keep its order of first appearance.
 */
export const batchesOf = <W extends Write>(writes: readonly W[]): W[][] => {
  const batches: W[][] = []
  const open = new Map<string, { batch: W[]; bytes: number }>()
  for (const write of writes) {
    const last = open.get(write.key)
    if (
      last !== undefined &&
      last.batch.length < BATCH_ROWS &&
      last.bytes + write.bytes <= BATCH_BYTES
    ) {
      last.batch.push(write)
      last.bytes += write.bytes
      continue
    }
    const batch = [write]
    batches.push(batch)
    open.set(write.key, { batch, bytes: write.bytes })
  }
  return batches
}

/** Of a frame or a snapshot: any server takes it in one piece (half a segment of its commit log; 5 MiB in the smallest). */
export const VALUE_BYTES = 2 << 20

/** @throws ParleyError too_large */
export const checkSize = (what: string, { byteLength }: Uint8Array): void => {
  if (byteLength > VALUE_BYTES) {
    throw new ParleyError('too_large', { detail: `${what} has ${byteLength} bytes` })
  }
}

/** A copy as the driver takes it: what it sends late, after a timeout, must not have changed meanwhile. */
export const blob = (bytes: Uint8Array): Buffer => Buffer.from(bytes)
