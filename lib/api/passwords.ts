/**
 * Argon2id, a few at a time: each takes some 45 ms of a core and 19 MiB. A login for nobody costs the same as one for
 * somebody, so that time does not tell who exists.
 */
import { randomBytes } from 'node:crypto'
import * as argon2 from '@node-rs/argon2'
import { ParleyError } from '../errors.ts'

export type Hasher = {
  hash(password: string): Promise<string>
  verify(hash: string, password: string): Promise<boolean>
}

/** OWASP's second choice for Argon2id: 19 MiB, two passes. */
const COST = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const

export const argon2id: Hasher = {
  hash: (password) => argon2.hash(password, COST),
  verify: (hash, password) => argon2.verify(hash, password),
}

/** The hash of an account that nobody can log in to with a password. */
export const NO_PASSWORD = '!'

export type PasswordOptions = {
  /** At the same time: libuv has four threads, and others want some. */
  readonly parallel: number
  /** Waiting for their turn; the rest are refused `overloaded`. */
  readonly waiting: number
}

export class Passwords {
  readonly #hasher: Hasher
  readonly #options: PasswordOptions
  readonly #nobody: string
  readonly #queue: (() => void)[] = []
  #running = 0

  constructor(hasher: Hasher, nobody: string, options: PasswordOptions) {
    this.#hasher = hasher
    this.#nobody = nobody
    this.#options = options
  }

  hash(password: string): Promise<string> {
    return this.#inTurn(() => this.#hasher.hash(password))
  }

  /** With an undefined or unusable hash it is false, but takes as long. */
  async verify(hash: string | undefined, password: string): Promise<boolean> {
    const usable = hash !== undefined && hash !== NO_PASSWORD
    const right = await this.#inTurn(() =>
      this.#hasher.verify(usable ? hash : this.#nobody, password),
    )
    return right && usable
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#options.parallel) this.#running++
    else {
      if (this.#queue.length >= this.#options.waiting) {
        throw new ParleyError('overloaded', { retryAfterMs: 2_000 })
      }
      await new Promise<void>((turn) => this.#queue.push(turn))
    }
    try {
      return await work()
    } finally {
      const next = this.#queue.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}

export const openPasswords = async (
  hasher: Hasher = argon2id,
  options: PasswordOptions = { parallel: 2, waiting: 64 },
): Promise<Passwords> =>
  new Passwords(hasher, await hasher.hash(randomBytes(24).toString('base64url')), options)
