/**
 * Wakes this thread at given times to about 0.1 ms: a second thread sleeps on a futex. Timers of the event loop have a
 * grain of 1 ms, and a loop that spins takes a core from the servers under test.
 */
import { Worker } from 'node:worker_threads'
import { nowUs } from './clock.ts'

export type MetronomeShared = { readonly words: Int32Array; readonly due: Float64Array }

/** words[RUNG] counts wakes, words[ASKED] counts requests; due[0] is the time asked for, µs, < 0 to end. */
export const RUNG = 0
export const ASKED = 1

export class Metronome {
  readonly #shared: MetronomeShared = {
    words: new Int32Array(new SharedArrayBuffer(8)),
    due: new Float64Array(new SharedArrayBuffer(8)),
  }
  readonly #worker: Worker
  #run = 0

  constructor() {
    const here = new URL('./metronome-thread.ts', import.meta.url)
    this.#worker = new Worker(here, { workerData: this.#shared })
    this.#worker.unref()
  }

  /**
   * Calls `tick` at `firstUs`, then at whatever time it answers, until that is undefined or something else is started.
   * Late ticks are not made up for: `tick` finds out what is due.
   */
  start(firstUs: number, tick: () => number | undefined): void {
    const run = ++this.#run
    const { words } = this.#shared
    const wake = (): void => {
      if (run === this.#run) wait(tick())
    }
    const wait = (dueUs: number | undefined): void => {
      if (dueUs === undefined) return
      // Even if the time has passed: sockets must have their turn.
      if (dueUs <= nowUs()) {
        setImmediate(wake)
        return
      }
      const rung = Atomics.load(words, RUNG)
      this.#ask(dueUs)
      const rings = Atomics.waitAsync(words, RUNG, rung)
      if (rings.async) void rings.value.then(wake)
      else setImmediate(wake)
    }
    wait(firstUs)
  }

  stop(): void {
    this.#run++
  }

  #ask(dueUs: number): void {
    const { words, due } = this.#shared
    due[0] = dueUs
    Atomics.add(words, ASKED, 1)
    Atomics.notify(words, ASKED)
  }

  async end(): Promise<void> {
    this.#ask(-1)
    await this.#worker.terminate()
  }
}
