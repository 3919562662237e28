/** The role that holds client sockets. */
import type { Nats } from '../../lib/bus/bus.ts'
import { systemClock } from '../../lib/clock.ts'
import type { Config } from '../../lib/config.ts'
import { refuse } from '../../lib/errors.ts'
import { GATEWAY_DEFAULTS } from '../../lib/gateway/config.ts'
import { createGateway, type Gateway } from '../../lib/gateway/gateway.ts'
import type { Log } from '../../lib/log.ts'
import { kindOf, type Tokens } from '../../lib/tokens/tokens.ts'
import { queueConsumer } from '../../nats/consumers.ts'
import type { FixedShape } from '../../nats/shape.ts'

export const createNodeGateway = (
  config: Config,
  nats: Nats,
  shape: FixedShape,
  tokens: Tokens,
  log: Log,
): Gateway =>
  createGateway({
    nats,
    clock: systemClock,
    log,
    verifier: {
      verify: (token) => {
        const kind = kindOf(token)
        if (kind === 'access') return tokens.verifyAccess(token)
        return kind === 'resume' ? tokens.verifyResume(token) : refuse('unauthorized')
      },
    },
    resume: (identity) => tokens.signResume(identity),
    queueConsumer: (user, device) => queueConsumer(shape, user, device),
    config: {
      ...GATEWAY_DEFAULTS,
      host: config.gatewayHost,
      port: config.gatewayPort,
      url: config.gatewayUrl === '' ? undefined : config.gatewayUrl,
      sharePort: config.sharePort,
      tls:
        config.tlsKey === '' || config.tlsCert === ''
          ? undefined
          : { key: config.tlsKey, cert: config.tlsCert },
      origins: config.origins,
      trustedProxies: config.trustedProxies,
      partitions: shape.partitions,
      maxSessions: config.maxSessions,
      maxSessionsPerAddress: config.sessionsPerAddress,
      textBytes: config.textBytes,
      heartbeatMs: config.heartbeatSeconds * 1000,
      frameRate: config.frameRate,
      frameBurst: config.frameBurst,
      byteRate: config.byteRate,
      byteBurst: config.byteBurst,
    },
  })
