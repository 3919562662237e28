/** Latencies in µs: 1 µs to 60 s with three digits. Merged across processes, never averaged. */
import hdr from 'hdr-histogram-js'

const MOST_US = 60_000_000

const build = () =>
  hdr.build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: MOST_US,
    numberOfSignificantValueDigits: 3,
    bitBucketSize: 32,
    autoResize: false,
    useWebAssembly: false,
  })

export type Percentiles = {
  readonly count: number
  /** ms */
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export class Histogram {
  readonly #hdr = build()

  /** What is out of range counts at its border. */
  record(us: number): void {
    const whole = us < 1 ? 1 : us > MOST_US ? MOST_US : Math.round(us)
    this.#hdr.recordValue(whole)
  }

  get count(): number {
    return this.#hdr.totalCount
  }

  reset(): void {
    this.#hdr.reset()
  }

  /** For another process. */
  encode(): string {
    return hdr.encodeIntoCompressedBase64(this.#hdr)
  }

  add(encoded: string): void {
    this.#hdr.add(hdr.decodeFromCompressedBase64(encoded, 32, false))
  }

  percentiles(): Percentiles {
    const at = (percent: number): number => {
      const us = this.#hdr.totalCount === 0 ? 0 : this.#hdr.getValueAtPercentile(percent)
      return us / 1000
    }
    const count = this.#hdr.totalCount
    const max = count === 0 ? 0 : this.#hdr.maxValue / 1000
    return { count, p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max }
  }
}
