/** `parley gateway`: client sockets in a process of their own. */
import { systemClock } from '../../lib/clock.ts'
import { serviceGroup } from '../../lib/service.ts'
import type { Tokens } from '../../lib/tokens/tokens.ts'
import { createNodeGateway } from './gateway.ts'
import { checkGatewayConfig } from './gateway-config.ts'
import type { RoleKind } from './role.ts'
import { gatewaySampler } from './samplers.ts'
import { awaitTokens } from './tokens.ts'

type Own = { readonly tokens: Tokens; close(): Promise<void> }

export const GATEWAY: RoleKind<Own> = {
  name: 'gateway',
  starts: 'it reads which host owns what',
  drains: 'it drains: clients are sent elsewhere',
  check: checkGatewayConfig,
  open: async (frame, signal) => ({
    tokens: await awaitTokens(frame, signal),
    close: async () => {},
  }),
  create: async ({ config, nats, shape, own, metrics, log }) => {
    const gateway = createNodeGateway(config, nats, shape, own.tokens, log)
    const parts = [gateway, gatewaySampler(gateway, metrics)]
    const group = serviceGroup(parts, { name: 'gateway', log, clock: systemClock })
    return {
      ...group,
      get url() {
        return gateway.url
      },
    }
  },
}
