/** A stream, buckets and a projection in memory that fail when a test says so. */
import type { Bucket, Entry } from '../bus/bus.ts'
import { fromJson } from '../bus/cluster.ts'
import type { RecordSource, StreamRecord } from '../bus/record-source.ts'
import { ParleyError } from '../errors.ts'
import type { Projection } from './projection.ts'

const text = new TextDecoder()
const utf8 = new TextEncoder()
export const away = (detail: string) => new ParleyError('unavailable', { detail })

export class MemoryBucket implements Bucket {
  readonly entries = new Map<string, Entry>()
  readonly #watchers = new Set<(entry: Entry) => void>()
  /** Set, every call fails. */
  down = false
  refused = 0
  #revision = 0
  /** Called before a CAS decides: a place to come between. */
  beforeCas: () => void = () => undefined

  #check() {
    if (!this.down) return
    this.refused++
    throw away('KV is away')
  }
  async get(key: string) {
    this.#check()
    return this.entries.get(key)
  }
  async put(key: string, value: Uint8Array) {
    this.#check()
    this.#set({ key, value, revision: ++this.#revision })
    return this.#revision
  }
  async cas(key: string, value: Uint8Array, expected: number) {
    this.#check()
    this.beforeCas()
    if ((this.entries.get(key)?.revision ?? 0) !== expected) return undefined
    return this.put(key, value)
  }
  async remove(key: string) {
    this.#check()
    if (this.entries.has(key)) this.#set({ key, value: undefined, revision: ++this.#revision })
    this.entries.delete(key)
  }
  #set(entry: Entry) {
    this.entries.set(entry.key, entry)
    for (const watcher of this.#watchers) watcher(entry)
  }
  async keys() {
    this.#check()
    return [...this.entries.keys()]
  }
  async watch(onEntry: (entry: Entry) => void, onReady?: () => void) {
    this.#check()
    for (const entry of this.entries.values()) onEntry(entry)
    onReady?.()
    this.#watchers.add(onEntry)
    return () => this.#watchers.delete(onEntry)
  }
  /** Those who watch hear nothing any more, as after a connection is gone for good. */
  deafen() {
    this.#watchers.clear()
  }
  json(key: string): unknown {
    const value = this.entries.get(key)?.value
    return value && fromJson(value)
  }
}

/** A stream in memory; records are texts of comma-separated rows. */
export class MemorySource implements RecordSource {
  readonly records: StreamRecord[]
  readonly opened: number[] = []
  readonly acked: number[] = []
  first = 1
  /** `next` waits for it. */
  gate: Promise<void> | undefined
  portion = 3
  closed = false
  /** Thrown by the next `next`. */
  failure: Error | undefined
  #at = 0
  #wake: () => void = () => undefined

  constructor(records: StreamRecord[] = []) {
    this.records = records
  }
  /** Of the same stream, for another reader. */
  another(): MemorySource {
    const other = new MemorySource(this.records)
    Object.defineProperty(other, 'first', { get: () => this.first })
    return other
  }
  /** What is below is gone. */
  trim(first: number): void {
    this.records.splice(0, first - this.first)
    this.first = first
  }

  append(...rows: (string | Uint8Array)[]): void {
    for (const row of rows) {
      const position = this.first + this.records.length
      this.records.push({
        position,
        subject: 'log.0',
        data: typeof row === 'string' ? utf8.encode(row) : row,
      })
    }
    this.#wake()
  }
  async open(position: number) {
    this.opened.push(position)
    this.#at = Math.max(position, this.first)
    return { first: this.first, last: this.first + this.records.length - 1 }
  }
  async next(waitMs: number, signal: AbortSignal) {
    await this.gate
    if (this.failure !== undefined) {
      const failure = this.failure
      this.failure = undefined
      throw failure
    }
    const from = this.#at - this.first
    const records = this.records.slice(from, from + this.portion)
    if (records.length === 0 && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, Math.min(waitMs, 20))
      this.#wake = resolve
      signal.addEventListener('abort', () => resolve())
      await promise
      clearTimeout(timer)
    }
    this.#at += records.length
    return records
  }
  ack() {
    this.acked.push(this.#at - 1)
  }
  async pending() {
    return this.first + this.records.length - 1 - (this.acked.at(-1) ?? this.first - 1)
  }
  close() {
    this.closed = true
  }
}

/** Rows are words; `bad…` cannot be read, `big…` is refused by the store. */
export class MemoryProjection implements Projection<string> {
  readonly name = 'history'
  readonly rows: string[]
  readonly floors: Map<number, number>
  readonly writes: { rows: readonly string[]; stream: number; position: number }[] = []
  readable = false
  /** Rows that the store keeps no longer. */
  readonly dropped = new Set<string>()
  /** Thrown by writes while set. */
  failure: Error | undefined
  /** Writes wait for it. */
  gate: Promise<void> | undefined
  begun = 0

  /** `of`: the same store, of another process. */
  constructor(of?: MemoryProjection) {
    this.rows = of?.rows ?? []
    this.floors = of?.floors ?? new Map()
  }
  async floor(stream: number) {
    return this.floors.get(stream) ?? 0
  }
  read({ data }: StreamRecord) {
    const rows = text.decode(data).split(',')
    if (!this.readable && rows.some((row) => row.startsWith('bad'))) throw new Error('what is this')
    return rows
  }
  async write(rows: readonly string[], stream: number, position: number) {
    this.begun++
    await this.gate
    if (this.failure !== undefined) throw this.failure
    if (rows.some((row) => row.startsWith('big'))) throw new ParleyError('too_large')
    this.writes.push({ rows, stream, position })
    for (const row of rows) if (!this.rows.includes(row)) this.rows.push(row)
    this.floors.set(stream, Math.max(position, this.floors.get(stream) ?? 0))
  }
  async kept(rows: readonly string[]) {
    return rows.filter((row) => !this.dropped.has(row))
  }
}
