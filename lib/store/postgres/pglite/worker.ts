/** The thread of PGlite: it computes for milliseconds at a time, which sockets must not wait for. */
import { parentPort, workerData } from 'node:worker_threads'
import { ParleyError } from '../../../errors.ts'
import { driverText } from '../failure.ts'
import { openDatabase } from './database.ts'
import type { Answer, Call, Failure, WorkerSetup } from './messages.ts'

const port = parentPort!
const { directory, limits } = workerData as WorkerSetup

const failure = (error: unknown): Failure => {
  if (error instanceof ParleyError) {
    return { code: error.code, detail: error.message, cause: undefined }
  }
  return { code: 'internal', detail: 'The directory failed.', cause: driverText(error) }
}

const answer = async (id: number, work: () => Promise<unknown>): Promise<void> => {
  let reply: Answer
  try {
    reply = { id, value: await work() }
  } catch (error) {
    reply = { id, failure: failure(error) }
  }
  port.postMessage(reply)
}

const opening = openDatabase(directory, limits)
port.on('message', ({ id, method, args }: Call) => {
  void answer(id, async () => {
    const store = await opening
    return await (store[method] as (...args: unknown[]) => Promise<unknown>)(...args)
  })
})
await answer(0, async () => void (await opening))
