import t from 'tap'
import { METRICS, Metrics } from './metrics.ts'

const history = { projection: 'history' } as const

t.test('bound series come out with help, labels and values', async (t) => {
  const metrics = new Metrics()
  t.notMatch(await metrics.text(), /parley_/, 'nothing claims a value before it is bound')
  const rows = metrics.counter('parley_projection_rows_total', history)
  t.match(await metrics.text(), /^parley_projection_rows_total\{projection="history"\} 0$/m)
  rows.inc()
  metrics.counter('parley_projection_rows_total', history).inc(41)
  metrics.gauge('parley_projection_lag_records', { ...history, stream: '3' }).set(7)
  metrics.histogram('parley_projection_write_seconds', history).observe(0.002)
  const text = await metrics.text()
  t.match(text, /^parley_projection_rows_total\{projection="history"\} 42$/m)
  t.match(text, /^parley_projection_lag_records\{projection="history",stream="3"\} 7$/m)
  t.match(text, /^parley_projection_write_seconds_bucket\{le="0\.001",projection="history"\} 0$/m)
  t.match(text, /^parley_projection_write_seconds_bucket\{le="0\.0025",projection="history"\} 1$/m)
  t.ok(
    text.includes(
      `# HELP parley_projection_rows_total ${METRICS.parley_projection_rows_total.help}`,
    ),
  )
  t.match(metrics.contentType, /text\/plain/)
})

t.test('a label value outside its table is a bug', async (t) => {
  const metrics = new Metrics()
  const labels = { projection: 'u1234' } as unknown as typeof history
  t.throws(
    () => metrics.counter('parley_projection_rows_total', labels),
    /u1234 is not in the table/,
  )
  t.throws(
    () => metrics.gauge('parley_projection_streams', {} as typeof history),
    /not in the table/,
  )
})

t.test('two instances do not share values; one may show the process', async (t) => {
  const one = new Metrics({ process: true })
  const other = new Metrics()
  one.counter('parley_projection_rows_total', history).inc()
  t.notMatch(await other.text(), /parley_projection_rows_total/)
  t.match(await one.text(), /process_cpu_seconds_total/)
  t.notMatch(await other.text(), /process_cpu_seconds_total/)
})

t.test('every declared metric follows the naming rules of Prometheus', async (t) => {
  for (const [name, { kind, help }] of Object.entries(METRICS)) {
    t.match(name, /^parley_[a-z]+(_[a-z]+)+$/)
    t.equal(kind === 'counter', name.endsWith('_total'), name)
    t.equal(
      kind === 'histogram',
      /_(seconds|bytes|records)$/.test(name) && kind === 'histogram',
      name,
    )
    t.ok(help.length > 20, `${name} says what it counts`)
  }
})
