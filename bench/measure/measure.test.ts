import t from 'tap'
import { CpuMeter, parseBusy, parseStat, rssOf, statOf } from './cpu.ts'
import { Histogram } from './histogram.ts'
import { significant, spread } from './rounds.ts'

t.test('/proc/<pid>/stat, whatever a process calls itself', async (t) => {
  const fields = 'S 41 7 7 0 -1 4194560 1 2 3 4 250 75 9 9 20 0 11'
  t.same(parseStat(`7 (nats-server) ${fields}`), { parent: 41, name: 'nats-server', cpuMs: 3250 })
  t.same(parseStat(`7 (a) b (c)) ${fields}`), { parent: 41, name: 'a) b (c)', cpuMs: 3250 })
  t.match(statOf(process.pid), { parent: process.ppid, cpuMs: Number })
  t.equal(statOf(2 ** 30), undefined)
  t.ok(rssOf(process.pid)! > 2 ** 20)
  t.equal(rssOf(2 ** 30), undefined)
})

t.test('what the whole machine used: neither idle time, nor that of its hypervisor', async (t) => {
  t.equal(parseBusy('cpu  100 20 30 9999 888 7 3 77 0 0\ncpu0 1 2 3'), 1600)
})

t.test('a meter tells what was used between start and stop', async (t) => {
  const meter = new CpuMeter(new Map([['me', process.pid]]))
  meter.start()
  const from = process.cpuUsage()
  while (process.cpuUsage(from).user < 60_000) Math.sqrt(from.user)
  const { byRole, elapsedMs, machineMs } = meter.stop()
  t.ok(machineMs >= 40)
  t.ok(byRole.get('me')! >= 40, 'at least what was burnt, less a tick of the clock')
  t.ok(elapsedMs > 0)
  const gone = new CpuMeter(new Map([['ghost', 2 ** 30]]))
  t.throws(() => gone.start(), { message: /the ghost process 1073741824 is gone/ })
})

t.test('percentiles are those of the values', async (t) => {
  const histogram = new Histogram()
  t.same(histogram.percentiles(), { count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 })
  for (let us = 1; us <= 10_000; us++) histogram.record(us)
  const { count, p50, p90, p99, p999, max } = histogram.percentiles()
  t.equal(count, 10_000)
  for (const [value, exact] of [
    [p50, 5],
    [p90, 9],
    [p99, 9.9],
    [p999, 9.99],
    [max, 10],
  ] as const) {
    t.ok(Math.abs(value - exact) <= exact / 1000 + 0.001, `${value} for ${exact} ms`)
  }
})

t.test('values out of range count at their border', async (t) => {
  const histogram = new Histogram()
  for (const us of [-5, 0, 0.4, 1e12]) histogram.record(us)
  t.equal(histogram.count, 4)
  t.equal(histogram.percentiles().p50, 0.001)
  t.ok(Math.abs(histogram.percentiles().max - 60_000) <= 60)
})

t.test('histograms of processes add up to that of all values', async (t) => {
  const whole = new Histogram()
  const sum = new Histogram()
  for (let process = 0; process < 3; process++) {
    const part = new Histogram()
    for (let i = 1; i <= 500; i++) {
      part.record(i * i * (process + 1))
      whole.record(i * i * (process + 1))
    }
    sum.add(part.encode())
  }
  const { max, ...rest } = whole.percentiles()
  t.match(sum.percentiles(), rest)
  t.ok(Math.abs(sum.percentiles().max - max) <= max / 1000, 'the exact one does not travel')
  sum.reset()
  t.equal(sum.count, 0)
})

t.test('medians and spreads', async (t) => {
  t.same(spread([3, 1, 2]), { median: 2, min: 1, max: 3 })
  t.same(spread([4, 1, 2, 3]), { median: 2.5, min: 1, max: 4 })
  t.same(spread([7]), { median: 7, min: 7, max: 7 })
  t.throws(() => spread([]), RangeError)
  t.equal(significant(12_345), 12_300)
  t.equal(significant(0.012345, 2), 0.012)
  t.ok(Number.isNaN(significant(Number.NaN)))
})
