import { rowOf } from '../row.ts'
import { pairs, type Scenario } from './scenario.ts'

const PAIRS = 200
const RATES = [200, 1000, 4000, 16000]
/** The rate that the targets of latency are about. */
const MAIN = 4000

export const dmAck: Scenario = {
  name: 'dm-ack',
  doc: 'direct messages at given rates: sender-ack and delivery latency: --rate 200,1000,4000,16000',
  method:
    'Open loop: Poisson arrivals drawn ahead from a seed, each to a random pair; latency is receipt minus scheduled time, so it holds the lag of the generator, which is reported too. Past 32 unsettled a pair queues (contracts N1).',
  cast: ({ pairs: count = PAIRS }) => pairs(count),
  measure: async (stage, { rates = RATES }, say) => {
    const rows = []
    for (const rate of rates) {
      say(`${rate} messages/s`)
      const window = await stage.window({ kind: 'open', rate })
      const row = rowOf(`${rate}/s`, window, { targetRate: rate })
      rows.push(row)
      if (row.over) break
    }
    return rows
  },
  main: (rows) =>
    rows.find((row) => row.variant === `${MAIN}/s`) ?? rows.findLast((row) => !row.over),
}
