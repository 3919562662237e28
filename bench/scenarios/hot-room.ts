import { rowOf } from '../row.ts'
import { groups } from './group-100.ts'
import type { Scenario } from './scenario.ts'

const SENDERS = 200

export const hotRoom: Scenario = {
  name: 'hot-room',
  doc: 'one room, 200 senders: ordered messages a second',
  method:
    'Closed loop: 200 members of one group keep `window` (1) messages unsettled each, and receive everybody’s.',
  cast: () => groups(1, SENDERS, SENDERS),
  measure: async (stage, { window = 1 }) => {
    const measured = await stage.window({ kind: 'closed', window })
    return [rowOf(`${SENDERS}x${window}`, measured)]
  },
  main: (rows) => rows[0],
}
