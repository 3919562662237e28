/** A role and what it stands on, in the order in which they are waited for: its own stores and keys, NATS, the cluster. */
import { systemClock } from '../../lib/clock.ts'
import type { Config } from '../../lib/config.ts'
import type { Log } from '../../lib/log.ts'
import type { Metrics } from '../../lib/metrics.ts'
import { type Service, serviceGroup } from '../../lib/service.ts'
import type { FixedShape } from '../../nats/shape.ts'
import { awaitCluster, type Cluster } from './await-cluster.ts'
import { type NatsWatch, natsWatch } from './nats-watch.ts'
import { type Opened, opened } from './opened.ts'
import type { RoleName } from './run-info.ts'

type Unready = () => Promise<string | undefined>

/** What a role has from its process. */
export type Frame = {
  readonly config: Config
  readonly log: Log
  readonly metrics: Metrics
  /** Told why it does not serve yet, in words for an operator. */
  readonly waiting: (why: string) => void
}

export type Ground<Own> = Frame &
  Cluster & {
    readonly urls: readonly string[]
    readonly own: Own
    /** Why NATS can't be counted on now. */
    readonly natsUnready: Unready
  }

export type RoleService = Service & {
  /** Where clients connect, once started. */
  readonly url?: string
  /** Why it can't do its work now, besides NATS. */
  readonly unready?: Unready
}

/** `Own`: what it opens before NATS, and closes last. */
export type RoleKind<Own extends { close(): Promise<void> }> = {
  readonly name: RoleName
  /** For whoever asks whether it is ready. */
  readonly starts: string
  readonly drains: string
  /** @throws Error that says which setting is wrong, and how */
  check(config: Config): void
  /** Waits for what is not there yet. */
  open(frame: Frame, signal: AbortSignal): Promise<Own>
  /** Makes streams and buckets and tells their shape; without it they are waited for. */
  readonly makeStreams?: (urls: readonly string[], config: Config, log: Log) => Promise<FixedShape>
  create(ground: Ground<Own>): Promise<RoleService>
}

export class Role<Own extends { close(): Promise<void> }> implements Service {
  readonly name: string
  readonly #kind: RoleKind<Own>
  readonly #group: Service
  readonly #watch: Opened<NatsWatch>
  readonly #role: Opened<RoleService>
  /** Why it does not serve; undefined when it does, as far as it is its own affair. */
  #why: string | undefined = 'it starts'

  constructor(
    kind: RoleKind<Own>,
    urls: () => readonly string[],
    given: Pick<Frame, 'config' | 'log' | 'metrics'>,
  ) {
    this.#kind = kind
    this.name = `${kind.name} role`
    const { name, makeStreams } = kind
    const { config, log } = given
    const waiting = (why: string): void => {
      this.#why = why
    }
    const frame = { ...given, waiting }
    const own = opened(
      `${name} stores`,
      (signal) => kind.open(frame, signal),
      (it) => it.close(),
    )
    const make = makeStreams && ((servers: readonly string[]) => makeStreams(servers, config, log))
    const cluster = opened(
      'nats connection',
      (signal) => awaitCluster({ urls, name: `parley ${name}`, log, waiting, make }, signal),
      ({ nats }) => nats.close(),
    )
    this.#watch = opened(
      'nats watch',
      async (signal) => {
        const watch = natsWatch(cluster.it.nats, log)
        await watch.start(signal)
        return watch
      },
      (watch, deadline) => watch.drain(deadline),
    )
    this.#role = opened(
      name,
      async (signal) => {
        waiting(kind.starts)
        const natsUnready = () => this.#watch.it.unready()
        const ground = { ...frame, ...cluster.it, urls: urls(), own: own.it, natsUnready }
        const role = await kind.create(ground)
        await role.start(signal)
        return role
      },
      (role, deadline) => role.drain(deadline),
    )
    const parts = [own, cluster, this.#watch, this.#role]
    this.#group = serviceGroup(parts, { name: this.name, log, clock: systemClock })
  }

  get url(): string {
    return this.#why === undefined ? (this.#role.it.url ?? '') : ''
  }

  async unready(): Promise<string | undefined> {
    return this.#why ?? (await this.#watch.it.unready()) ?? this.#role.it.unready?.()
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#group.start(signal)
    this.#why = undefined
  }

  async drain(deadline: number): Promise<void> {
    this.#why = this.#kind.drains
    await this.#group.drain(deadline)
  }
}
