import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { DirectoryStore } from '../store/directory/directory.ts'
import type { Tokens } from '../tokens/tokens.ts'
import type { ApiConfig } from './config.ts'
import type { Outbox } from './outbox.ts'
import type { Passwords } from './passwords.ts'

/** A live gateway, as gateways announce themselves. `load` is comparable between gateways. */
export type GatewayAddress = {
  readonly url: string
  readonly load: number
  readonly draining: boolean
}

export type ApiParts = {
  readonly config: ApiConfig
  readonly directory: DirectoryStore
  readonly tokens: Tokens
  readonly passwords: Passwords
  readonly outbox: Outbox
  /** The gateways that are alive now. */
  readonly gateways: () => readonly GatewayAddress[]
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>
  readonly clock: Clock
  /** Whether everything else that this process needs is there; the directory is asked by the API itself. */
  readonly ready?: () => boolean | Promise<boolean>
  /** What /metrics serves. */
  readonly metrics?: { readonly contentType: string; text(): Promise<string> }
  /** Told of each answer: `route` is the pattern, or `none` when there is no such route. */
  readonly observe?: (route: string, status: number, seconds: number) => void
}

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>
