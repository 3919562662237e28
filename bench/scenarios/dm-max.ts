import { rowOf } from '../row.ts'
import { pairs, type Scenario } from './scenario.ts'

export const dmMax: Scenario = {
  name: 'dm-max',
  doc: 'direct messages, as many as go through: --pairs 50 --window 16',
  method:
    'Closed loop: the first user of each pair keeps `window` messages unsettled, each a WebSocket message of its own; the second receives. Latencies of a closed loop say little.',
  cast: ({ pairs: count = 50 }) => pairs(count),
  measure: async (stage, { pairs: count = 50, window = 16 }) => {
    const measured = await stage.window({ kind: 'closed', window })
    return [rowOf(`${count}x${window}`, measured)]
  },
  main: (rows) => rows[0],
}
