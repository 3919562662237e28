import { type Row, rowOf } from '../row.ts'
import { findKnee } from './knee.ts'
import { pairs, type Scenario } from './scenario.ts'

const PAIRS = 500
const FIRST_RATE = 4000
const MOST_P99_MS = 50

export const dmKnee: Scenario = {
  name: 'dm-knee',
  doc: 'direct messages: the highest rate with p99 <= 50 ms, no queue that grows: --rate FIRST',
  method: `Open loop as dm-ack; the rate grows by half until p99 is above ${MOST_P99_MS} ms or it is not held, then the gap is halved three times.`,
  cast: ({ pairs: count = PAIRS }) => pairs(count),
  measure: async (stage, { rates = [FIRST_RATE] }, say) => {
    const rows = new Map<number, Row>()
    const knee = await findKnee(rates[0]!, async (rate) => {
      say(`${rate} messages/s`)
      const row = rowOf(`${rate}/s`, await stage.window({ kind: 'open', rate }), {
        targetRate: rate,
      })
      rows.set(rate, row)
      return !row.over && row.ack !== undefined && row.ack.p99 <= MOST_P99_MS
    })
    const row = rows.get(knee ?? rates[0]!)!
    const over = knee === undefined
    return [
      { ...row, variant: 'knee', over, invalid: over ? ['the first rate is over'] : row.invalid },
    ]
  },
  main: (rows) => rows[0],
}
