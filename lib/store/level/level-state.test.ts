import { join } from 'node:path'
import t from 'tap'
import { stateContract } from '../state/contract.ts'
import { levelState } from './level-state.ts'
import { openLevel } from './open.ts'

const directory = t.testdir()

stateContract(t, async (name) => levelState(await openLevel(join(directory, name))))
