/** The records of one log stream that are set aside: kept, told of, taken up again. */
import type { StreamRecord } from '../bus/record-source.ts'
import type { Log } from '../log.ts'
import type { Projection } from './projection.ts'
import type { SetAside } from './set-aside.ts'

export class AsideRecords<Row> {
  readonly #projection: Projection<Row>
  readonly #stream: number
  readonly #kept: SetAside
  readonly #log: Log
  readonly #tell: (records: number) => void
  readonly #known = new Set<number>()

  constructor(
    projection: Projection<Row>,
    stream: number,
    kept: SetAside,
    log: Log,
    tell: (records: number) => void,
  ) {
    this.#projection = projection
    this.#stream = stream
    this.#kept = kept
    this.#log = log
    this.#tell = tell
  }

  /** Rejects when it could not be kept. */
  async put(record: StreamRecord, error: unknown): Promise<void> {
    await this.#kept.put(record, error instanceof Error ? error.message : String(error))
    if (this.#known.has(record.position)) return
    this.#known.add(record.position)
    this.#tell(this.#known.size)
    const { position, subject } = record
    const bytes = record.data.byteLength
    this.#log.error({ position, subject, bytes, err: error }, 'projection.set_aside')
  }

  /** Takes up what was set aside before; answers how many rows that had. @throws ParleyError unavailable */
  async review(): Promise<number> {
    let stored = 0
    this.#known.clear()
    for (const record of await this.#kept.list()) {
      const { position } = record
      this.#known.add(position)
      try {
        const rows = await this.#projection.kept(this.#projection.read(record))
        await this.#projection.write(rows, this.#stream, 0)
        stored += rows.length
        this.#log.info({ position, rows: rows.length }, 'projection.taken_up')
      } catch (err) {
        // Whatever it is, it stays aside until the stream is followed anew.
        this.#log.warn({ position, err }, 'projection.still_aside')
        continue
      }
      await this.#kept.remove(position)
      this.#known.delete(position)
    }
    this.#tell(this.#known.size)
    return stored
  }
}
