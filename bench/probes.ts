/** `node bench/probes.ts [--json]`: the stage probes alone. */
import { parseArgs } from 'node:util'
import { significant } from './measure/rounds.ts'
import { floorMs, limitOf, PROBES } from './probes/probe.ts'
import { runProbes } from './probes/run-probes.ts'

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    pairs: { type: 'string', default: '50' },
    window: { type: 'string', default: '16' },
    'nats-server': { type: 'string' },
  },
})
const results = await runProbes(
  {
    pairs: Number(values.pairs),
    window: Number(values.window),
    sync: 'default',
    serverPath: values['nats-server'],
  },
  (line) => process.stderr.write(`${line}\n`),
)
const limit = significant(limitOf(results))
const floor = significant(floorMs(results))
if (values.json)
  process.stdout.write(`${JSON.stringify({ probes: results, limit, floorMs: floor })}\n`)
else {
  for (const name of PROBES) {
    const { us, p50 } = results[name]
    const trip = p50 === undefined ? '' : `, a round trip ${significant(p50)} ms`
    process.stdout.write(`${name}: ${significant(us)} µs of CPU a message${trip}\n`)
  }
  process.stdout.write(`limit ${limit} messages per server CPU-second, floor ${floor} ms\n`)
}
