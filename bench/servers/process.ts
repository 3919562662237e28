/** One server process of our own: its last lines are kept for when it fails, it is only ever ended by its pid. */
import { type ChildProcess, spawn } from 'node:child_process'

const LINES = 40
const STOP_MS = 30_000

export class ServerProcess {
  readonly role: string
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  readonly #gone: Promise<void>

  constructor(role: string, args: readonly string[]) {
    this.role = role
    this.#child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => this.#keep(text))
    }
    this.#gone = new Promise((resolve) => this.#child.once('exit', () => resolve()))
    this.#child.once('error', (error) => this.#keep(error.message))
    living.add(this)
    void this.#gone.then(() => living.delete(this))
  }

  get pid(): number {
    const { pid } = this.#child
    if (pid === undefined) throw new Error(`the ${this.role} process did not start: ${this.tail}`)
    return pid
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** The end of what it printed. */
  get tail(): string {
    return this.#lines.join('\n')
  }

  #keep(text: string): void {
    this.#lines.push(...text.split('\n').filter((line) => line !== ''))
    this.#lines.splice(0, Math.max(0, this.#lines.length - LINES))
  }

  /** SIGTERM, and SIGKILL when it does not go. */
  async stop(): Promise<void> {
    if (!this.isAlive) return
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    await this.#gone
    clearTimeout(timer)
  }

  /** SIGKILL; false when it was dead already. */
  async kill(): Promise<boolean> {
    if (!this.isAlive) return false
    const sent = this.#child.kill('SIGKILL')
    await this.#gone
    return sent
  }

  killNow(): void {
    if (this.isAlive) this.#child.kill('SIGKILL')
  }
}

const living = new Set<ServerProcess>()

/** When the runner itself ends in a hurry. */
export const killAll = (): void => {
  for (const one of living) one.killNow()
}
