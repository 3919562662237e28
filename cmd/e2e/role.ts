/** A role in a process of its own, as a unit file starts it: its settings are an environment. */
import { eventually } from '../../lib/testing/eventually.ts'
import { type Child, type Exit, startParley } from './child.ts'

const START_MS = 60_000
const STOP_MS = 40_000

export class Role {
  readonly name: string
  readonly #env: Readonly<Record<string, string>>
  #child: Child | undefined
  #operations: string | undefined

  constructor(name: string, env: Readonly<Record<string, string>>) {
    this.name = name
    this.#env = env
  }

  get tail(): string {
    return this.#child?.tail ?? ''
  }

  /** Does not wait for anything. */
  launch(): void {
    const child = startParley([this.name], this.#env)
    this.#operations = undefined
    child.onLine((line) => {
      this.#operations ??= /^Operations at (\S+):/.exec(line)?.[1]
    })
    this.#child = child
  }

  async ready(): Promise<void> {
    await this.#eventually('is ready', async () => (await this.ask('/ready')).status === 200)
  }

  /** It says that it waits, and why. */
  async waits(why: RegExp): Promise<void> {
    await this.#eventually(`waits: ${why}`, async () => {
      const { status, text } = await this.ask('/ready')
      return status === 503 && why.test(text)
    })
  }

  async start(): Promise<void> {
    this.launch()
    await this.ready()
  }

  async ask(path: string): Promise<{ status: number; text: string }> {
    const url = this.#operations
    if (url === undefined) return { status: 0, text: '' }
    const answer = await fetch(url + path, { signal: AbortSignal.timeout(3_000) })
    return { status: answer.status, text: await answer.text() }
  }

  async metric(name: string): Promise<number> {
    const { text } = await this.ask('/metrics')
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
  }

  async has(partitions: (count: number) => boolean): Promise<void> {
    await this.#eventually('has its partitions', async () =>
      partitions(await this.metric('parley_host_partitions')),
    )
  }

  /** SIGTERM; how it ended. */
  async stop(): Promise<Exit> {
    return (await this.#child?.end(STOP_MS)) ?? { code: null, signal: null }
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#child?.exit
  }

  async #eventually(what: string, check: () => Promise<boolean>): Promise<void> {
    try {
      await eventually(`${this.name} ${what}`, check, { within: START_MS, every: 50 })
    } catch (cause) {
      throw new Error(`${(cause as Error).message}\n${this.tail}`, { cause })
    }
  }
}
