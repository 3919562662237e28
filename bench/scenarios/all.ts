import { dmAck } from './dm-ack.ts'
import { dmMax } from './dm-max.ts'
import type { Scenario } from './scenario.ts'

export const SCENARIOS: readonly Scenario[] = [dmMax, dmAck]
