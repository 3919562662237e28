/** The embedded directory: PGlite in a thread of its own, called by messages. */
import { Worker } from 'node:worker_threads'
import { ParleyError } from '../../../errors.ts'
import {
  DIRECTORY_LIMITS,
  type DirectoryLimits,
  type DirectoryStore,
} from '../../directory/directory.ts'
import { lockDirectory } from './lock.ts'
import { type Answer, type Call, METHODS, type Method, type WorkerSetup } from './messages.ts'

export type PgliteOptions = {
  /** Made when absent; only one process may have it open. */
  readonly directory: string
  readonly limits?: DirectoryLimits
  /** Called once if the thread dies; from then on every call fails `unavailable`. */
  readonly onFailure?: (error: Error) => void
}

const OPEN_MS = 60_000
const CALL_MS = 10_000
/** Calls that may wait for the one connection; the rest are refused `overloaded`. */
const MOST_WAITING = 1024

/** Errors: `unavailable`, with the reason in words, when the directory is in use, damaged or cannot be written. */
export const openPgliteDirectory = async (options: PgliteOptions): Promise<DirectoryStore> => {
  const { directory, limits = DIRECTORY_LIMITS } = options
  const release = await lockDirectory(directory)
  const thread = new Thread({ directory, limits })
  try {
    await thread.opened()
  } catch (cause) {
    await thread.stop()
    await release()
    throw new ParleyError('unavailable', {
      detail: `the directory in ${directory} cannot be opened`,
      cause,
    })
  }
  thread.onFailure = options.onFailure
  let closed: Promise<void> | undefined
  const close = async () => {
    try {
      await thread.call('close', [])
    } finally {
      await thread.stop()
      await release()
    }
  }
  const call = (method: Method, args: unknown[]) => {
    if (method === 'close') {
      closed ??= close()
      return closed
    }
    return closed === undefined ? thread.call(method, args) : Promise.reject(unavailable('closed'))
  }
  return Object.fromEntries(
    METHODS.map((method) => [method, (...args: unknown[]) => call(method, args)]),
  ) as unknown as DirectoryStore
}

const unavailable = (why: string, cause?: unknown) =>
  new ParleyError('unavailable', { detail: `The directory is ${why}.`, cause })

type Waiting = {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

/** Owns the worker and the calls that wait for it; once dead it stays so. */
class Thread {
  onFailure: ((error: Error) => void) | undefined
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #opened: Promise<unknown>
  #last = 0
  #dead: Error | undefined

  constructor(setup: WorkerSetup) {
    // The extension is .ts in development and .js once built.
    this.#worker = new Worker(new URL(`./worker${import.meta.url.slice(-3)}`, import.meta.url), {
      workerData: setup,
      // Flags of the process (--input-type, --import …) are not meant for this module.
      execArgv: [],
    })
    this.#opened = this.#wait(0, OPEN_MS)
    this.#worker.on('message', (answer: Answer) => this.#settle(answer))
    this.#worker.on('error', (error) => this.#die(error))
    this.#worker.on('exit', () => this.#die(new Error('the thread of PGlite ended')))
  }

  async opened(): Promise<void> {
    await this.#opened
  }

  call(method: Method, args: unknown[]): Promise<unknown> {
    if (this.#dead !== undefined) return Promise.reject(unavailable('down', this.#dead))
    if (this.#waiting.size >= MOST_WAITING) return Promise.reject(new ParleyError('overloaded'))
    const call: Call = { id: ++this.#last, method, args }
    this.#worker.postMessage(call)
    return this.#wait(call.id, CALL_MS)
  }

  async stop(): Promise<void> {
    this.onFailure = undefined
    await this.#worker.terminate()
  }

  #wait(id: number, ms: number): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const timer = setTimeout(() => {
      this.#waiting.delete(id)
      reject(unavailable('too slow'))
    }, ms)
    this.#waiting.set(id, { resolve, reject, timer })
    return promise
  }

  #settle(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id)
    // Nobody waits any more for what came after its deadline.
    if (waiting === undefined) return
    this.#waiting.delete(answer.id)
    clearTimeout(waiting.timer)
    if ('value' in answer) waiting.resolve(answer.value)
    else {
      const { code, detail, cause } = answer.failure
      waiting.reject(new ParleyError(code, { detail, cause }))
    }
  }

  #die(error: Error): void {
    if (this.#dead !== undefined) return
    this.#dead = error
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer)
      reject(unavailable('down', error))
    }
    this.#waiting.clear()
    this.onFailure?.(error)
  }
}
