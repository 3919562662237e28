import { ParleyError } from '../../errors.ts'

/** At most `count` operations at once, at most `waiting` more in line; whatever comes on top is refused. */
export class Lanes {
  #free: number
  readonly #most: number
  readonly #line: (() => void)[] = []

  constructor(count: number, waiting: number) {
    this.#free = count
    this.#most = waiting
  }

  /** @throws ParleyError unavailable when the line is full */
  async run<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else {
      if (this.#line.length >= this.#most) {
        throw new ParleyError('unavailable', { detail: 'the CQL store has too much to do' })
      }
      await new Promise<void>((enter) => this.#line.push(enter))
    }
    try {
      return await operation()
    } finally {
      const next = this.#line.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}

/** Runs all tasks, at most `count` at once. The first failure is thrown, and nothing is begun after it. */
export const eachOf = async <T>(
  tasks: readonly T[],
  count: number,
  run: (task: T) => Promise<unknown>,
): Promise<void> => {
  let at = 0
  let failed = false
  const lane = async (): Promise<void> => {
    while (!failed && at < tasks.length) {
      try {
        await run(tasks[at++]!)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(count, tasks.length) }, lane))
}
