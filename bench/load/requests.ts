/** Which command of which lane a request number of one connection stands for: a ring, no object per request. */
import { LIMITS } from '../../lib/protocol/frames.ts'
import type { Lane } from './lane.ts'
import { FIRST_REQ } from './send-frame.ts'

export class Requests {
  readonly #mask: number
  readonly #lanes: (Lane | undefined)[]
  readonly #numbers: Uint32Array
  readonly #reqs: Uint32Array
  #next = FIRST_REQ
  /** Of the last `find`. */
  n = 0

  constructor(lanes: number) {
    let size = 2 * LIMITS.pipeline
    while (size < lanes * 2 * LIMITS.pipeline) size *= 2
    this.#mask = size - 1
    this.#lanes = new Array(size).fill(undefined)
    this.#numbers = new Uint32Array(size)
    this.#reqs = new Uint32Array(size)
  }

  add(lane: Lane, n: number): number {
    const req = this.#next
    this.#next = req === 0xffffffff ? FIRST_REQ : req + 1
    const slot = req & this.#mask
    this.#lanes[slot] = lane
    this.#numbers[slot] = n
    this.#reqs[slot] = req
    return req
  }

  /** The lane of a request, its number in `n`; undefined when it is answered or never was. */
  find(req: number): Lane | undefined {
    const slot = req & this.#mask
    if (this.#reqs[slot] !== req) return undefined
    this.n = this.#numbers[slot]!
    return this.#lanes[slot]
  }
}
