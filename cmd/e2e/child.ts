/** A process of a run: what it prints comes line by line, it is only ever ended by its pid, and it does not outlive the run. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { onEarlyEnd } from './early-end.ts'

const ENTRY = fileURLToPath(new URL('../parley.ts', import.meta.url))
const TAIL_LINES = 40
const END_MS = 30_000

export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

/** Settings of whoever runs the tests must not reach them; what a test runner puts in for coverage only slows them. */
const KEPT = ['PARLEY_NATS_SERVER', 'PARLEY_CACHE']
export const cleanEnv = (): Record<string, string | undefined> =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) =>
        KEPT.includes(name) ||
        !(name.startsWith('PARLEY_') || name === 'NODE_OPTIONS' || name === 'NODE_V8_COVERAGE'),
    ),
  )

const living = new Set<Child>()

export class Child {
  readonly #process: ChildProcess
  readonly #tail: string[] = []
  readonly #listeners: ((line: string) => void)[] = []
  /** Once it is gone and all that it printed has been handed over. */
  readonly exit: Promise<Exit>
  #gone = false

  /** Runs `command`, with `env` on top of a clean environment. */
  constructor(
    command: string,
    args: readonly string[],
    env: Readonly<Record<string, string | undefined>> = {},
  ) {
    this.#process = spawn(command, args, { env: { ...cleanEnv(), ...env } })
    const { stdout, stderr, stdin } = this.#process
    stdout!.setEncoding('utf8')
    stderr!.setEncoding('utf8')
    eachLine(stdout!, (line) => {
      this.#keep(line)
      for (const listener of this.#listeners) listener(line)
    })
    eachLine(stderr!, (line) => this.#keep(line))
    // Whoever ends before it has read everything.
    stdin!.on('error', () => {})
    this.exit = new Promise((resolve) => {
      this.#process.once('error', (error) => {
        this.#keep(error.message)
        if (this.#process.pid === undefined) resolve({ code: null, signal: null })
      })
      this.#process.once('close', (code, signal) => resolve({ code, signal }))
    })
    living.add(this)
    void this.exit.then(() => {
      this.#gone = true
      living.delete(this)
    })
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  get isAlive(): boolean {
    const { exitCode, signalCode, pid } = this.#process
    return pid !== undefined && exitCode === null && signalCode === null
  }

  /** It is gone and everything it printed was handed over. */
  get isOver(): boolean {
    return this.#gone
  }

  /** The end of what it printed, on both ways. */
  get tail(): string {
    return this.#tail.join('\n')
  }

  get stdin(): NonNullable<ChildProcess['stdin']> {
    return this.#process.stdin!
  }

  /** Tells each line of its standard output, without the line break. */
  onLine(listener: (line: string) => void): void {
    this.#listeners.push(listener)
  }

  /** False when it was gone already. */
  kill(signal: NodeJS.Signals): boolean {
    return this.isAlive && this.#process.kill(signal)
  }

  /** SIGTERM, and SIGKILL when that does not help within `ms`. */
  async end(ms = END_MS): Promise<Exit> {
    this.kill('SIGTERM')
    const timer = setTimeout(() => this.kill('SIGKILL'), ms)
    const exit = await this.exit
    clearTimeout(timer)
    return exit
  }

  #keep(line: string): void {
    this.#tail.push(line)
    if (this.#tail.length > TAIL_LINES) this.#tail.shift()
  }
}

const eachLine = (stream: NodeJS.ReadableStream, take: (line: string) => void): void => {
  let rest = ''
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) take(line)
  })
  stream.on('end', () => {
    if (rest !== '') take(rest)
  })
}

/** The command `parley` of this tree. */
export const startParley = (
  args: readonly string[],
  env?: Readonly<Record<string, string | undefined>>,
): Child => new Child(process.execPath, [ENTRY, ...args], env)

onEarlyEnd(() => {
  for (const child of living) child.kill('SIGKILL')
})
