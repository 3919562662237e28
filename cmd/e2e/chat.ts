/** The command line as people and scripts use it: `parley` with profiles, all of one mode, under a home of their own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child, type Exit, startParley } from './child.ts'
import type { Mode } from './mode.ts'

const ANSWER_MS = 120_000
const FOLLOWER = fileURLToPath(new URL('./follower.ts', import.meta.url))

export type Answer = Exit & {
  readonly lines: readonly string[]
  /** The end of what it printed, notes included. */
  readonly tail: string
}

export class Chat {
  readonly home: string
  readonly mode: Mode
  readonly #server: string
  readonly #started: Child[] = []

  private constructor(home: string, server: string, mode: Mode) {
    this.home = home
    this.mode = mode
    this.#server = server
  }

  /** `mode`: of the devices that `enter` makes. */
  static async open(server: string, mode: Mode): Promise<Chat> {
    return new Chat(await mkdtemp(join(tmpdir(), 'parley-home-')), server, mode)
  }

  /** Makes a profile a device of `handle`, whose password is `password`; what that printed. */
  enter(
    verb: 'register' | 'login',
    profile: string,
    handle: string,
    password: string,
    ...more: readonly string[]
  ): Promise<readonly string[]> {
    const place = this.mode === 'queue' ? ['--queue'] : []
    const given = [handle, '--password', password, ...place, ...more]
    return this.lines(['--profile', profile, verb, ...given])
  }

  /** Starts `parley ARGS`; its standard input is open. */
  start(...args: readonly string[]): Child {
    const child = startParley(args, { PARLEY_HOME: this.home, PARLEY_SERVER: this.#server })
    this.#started.push(child)
    return child
  }

  /** Starts a device with a durable queue, which ends once it was shown `count` events. */
  follow(profile: string, count: number): Child {
    const child = new Child(process.execPath, [
      ...[FOLLOWER, join(this.home, profile), this.#server, String(count)],
    ])
    this.#started.push(child)
    return child
  }

  /** Runs `parley ARGS` to its end, with `input` at its standard input. @throws Error when it takes two minutes */
  async run(args: readonly string[], input = ''): Promise<Answer> {
    const child = this.start(...args)
    const lines: string[] = []
    child.onLine((line) => lines.push(line))
    child.stdin.end(input)
    const exit = await within(child, ANSWER_MS, `parley ${args.join(' ')}`)
    return { ...exit, lines, tail: child.tail }
  }

  /** `run` that must succeed. @throws Error with what it printed */
  async lines(args: readonly string[], input = ''): Promise<readonly string[]> {
    const { code, signal, lines, tail } = await this.run(args, input)
    if (code === 0) return lines
    throw new Error(`parley ${args.join(' ')} ended with ${code ?? signal}:\n${tail}`)
  }

  /** Ends what still runs, and removes the profiles. */
  async end(): Promise<void> {
    for (const child of this.#started) child.kill('SIGKILL')
    await Promise.all(this.#started.map(({ exit }) => exit))
    await rm(this.home, { recursive: true, force: true, maxRetries: 5 })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end()
  }
}

/** How it ended. @throws Error, with the end of what it printed, when it does not within `ms`; it is ended then */
export const within = async (child: Child, ms: number, what: string): Promise<Exit> => {
  const { promise, resolve } = Promise.withResolvers<'late'>()
  const timer = setTimeout(() => resolve('late'), ms)
  const first = await Promise.race([child.exit, promise])
  clearTimeout(timer)
  if (first !== 'late') return first
  await child.end()
  throw new Error(`not within ${ms} ms: ${what} ends\n${child.tail}`)
}
