import { dmAck } from './dm-ack.ts'
import { dmKnee } from './dm-knee.ts'
import { dmMax } from './dm-max.ts'
import { group100 } from './group-100.ts'
import { hotRoom } from './hot-room.ts'
import type { Scenario } from './scenario.ts'

export const SCENARIOS: readonly Scenario[] = [dmMax, dmAck, dmKnee, group100, hotRoom]
