import type { RoomPlan } from '../load/plan.ts'
import { rowOf } from '../row.ts'
import type { Scenario } from './scenario.ts'

const SIZE = 100

type Shape = { readonly rooms: number; readonly senders: number; readonly window: number }

/** a: what one hot room gives; b: many lively ones; c: nothing to coalesce, a socket write a delivery. */
const SHAPES: Readonly<Record<string, Shape>> = {
  a: { rooms: 1, senders: 10, window: 4 },
  b: { rooms: 50, senders: 1, window: 4 },
  c: { rooms: 10, senders: 1, window: 1 },
}

const shapeOf = (name: string | undefined): Shape & { name: string } => {
  const chosen = name ?? 'a'
  const shape = SHAPES[chosen]
  if (shape === undefined) throw new Error(`--shape must be ${Object.keys(SHAPES).join(', ')}`)
  return { ...shape, name: chosen }
}

/** Groups of members who are in no other; all are online. */
export const groups = (
  count: number,
  size: number,
  senders: number,
): { users: number; rooms: RoomPlan[] } => ({
  users: count * size,
  rooms: Array.from({ length: count }, (_, room) => {
    const members = Array.from({ length: size }, (_, at) => room * size + at)
    return { kind: 'group' as const, members, senders: members.slice(0, senders) }
  }),
})

export const group100: Scenario = {
  name: 'group-100',
  doc: 'groups of 100, all online: --shape a (1 room, 10 senders x 4), b (50 rooms x 4), c (10 rooms x 1)',
  method:
    'Closed loop: each sender keeps `window` messages unsettled; every other member has a session of its own and receives each. A room is verified whole by one generator process.',
  cast: ({ shape }) => {
    const { rooms, senders } = shapeOf(shape)
    return groups(rooms, SIZE, senders)
  },
  measure: async (stage, { shape }) => {
    const { name, rooms, senders, window } = shapeOf(shape)
    const measured = await stage.window({ kind: 'closed', window })
    const variant = `${name} ${rooms} rooms, ${senders}x${window}`
    return [rowOf(variant, measured, { figure: 'deliveries' })]
  },
  main: (rows) => rows[0],
}
