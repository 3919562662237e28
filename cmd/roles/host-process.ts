/** `parley host`: rooms and users in a process of their own. It makes the cluster on NATS, as `parley up` does. */
import { systemClock } from '../../lib/clock.ts'
import { serviceGroup } from '../../lib/service.ts'
import type { CqlStores } from '../../lib/store/cql/open.ts'
import { awaitHostStores, requireCql } from './await-stores.ts'
import { createHost } from './host.ts'
import { provisionStreams } from './nats.ts'
import type { RoleKind } from './role.ts'
import { hostSampler } from './samplers.ts'

export const HOST: RoleKind<CqlStores> = {
  name: 'host',
  starts: 'it joins the hosts',
  drains: 'it drains: partitions are handed over',
  check: (config) => requireCql('host', config),
  open: awaitHostStores,
  makeStreams: provisionStreams,
  create: async ({ config, nats, shape, own, metrics, log }) => {
    const host = createHost(config, nats, shape, { ...own, exclusive: false }, log)
    const parts = [host, hostSampler(host, metrics)]
    return serviceGroup(parts, { name: 'host', log, clock: systemClock })
  },
}
