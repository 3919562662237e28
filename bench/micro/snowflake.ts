/**
 * What an id costs, beside the ways that lost. Not measured: reading the clock, and the collector's work for the bigints.
 *
 *   node bench/micro/snowflake.ts [--json]
 */
import { Snowflake } from '../../lib/snowflake.ts'
import { measure, report } from './measure.ts'

const NOW = 1_790_000_000_000
const EPOCH = 1_767_225_600_000
let kept: unknown

const source = new Snowflake(5)

const shifts = (ms: number, worker: number, sequence: number): bigint =>
  (BigInt(ms) << 22n) | (BigInt(worker) << 12n) | BigInt(sequence)

const twoHalves = (ms: number, worker: number, sequence: number): bigint =>
  (BigInt(Math.floor(ms / 1024)) << 32n) |
  BigInt((((ms % 1024) << 22) | (worker << 12) | sequence) >>> 0)

// The order of the words is that of the machine: wrong on a big-endian one.
const words = new Uint32Array(2)
const whole = new BigUint64Array(words.buffer)
const typedArray = (ms: number, worker: number, sequence: number): bigint => {
  words[1] = ms / 1024
  words[0] = (ms << 22) | (worker << 12) | sequence
  return whole[0]!
}

const view = new DataView(new ArrayBuffer(8))
const dataView = (ms: number, worker: number, sequence: number): bigint => {
  view.setUint32(0, ms / 1024)
  view.setUint32(4, (ms << 22) | (worker << 12) | sequence)
  return view.getBigUint64(0)
}

const compose = (name: string, make: (ms: number, worker: number, sequence: number) => bigint) => ({
  name,
  run: (times: number) => {
    for (let i = 0; i < times; i++) kept = make(NOW - EPOCH + (i >> 10), 5, i & 4095)
  },
})

for (const make of [twoHalves, typedArray, dataView]) {
  for (const ms of [0, 1023, 1024, NOW - EPOCH, 2 ** 41 - 1]) {
    if (make(ms, 1023, 4095) !== shifts(ms, 1023, 4095)) throw new Error(`${make.name} is wrong`)
  }
}

report(
  'snowflake',
  measure([
    {
      name: 'Snowflake.next',
      run: (times) => {
        for (let i = 0; i < times; i++) kept = source.next(NOW + (i >> 10))
      },
    },
    {
      name: 'Snowflake.lineage',
      run: (times) => {
        for (let i = 0; i < times; i++) kept = source.lineage(NOW + (i >> 1))
      },
    },
    compose('compose: DataView', dataView),
    compose('compose: typed array', typedArray),
    compose('compose: two halves', twoHalves),
    compose('compose: shifts', shifts),
  ]),
)
if (kept === undefined) throw new Error('nothing was made')
