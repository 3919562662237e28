import { join } from 'node:path'
import t from 'tap'
import { historyContract } from '../history/contract.ts'
import { levelHistory } from './level-history.ts'
import { openLevel } from './open.ts'

const directory = t.testdir()

historyContract(t, async (name) => levelHistory(await openLevel(join(directory, name))))
