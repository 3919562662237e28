/** `parley projector`: the history is derived in a process of its own; as many as wanted share the log streams. */
import type { CqlStores } from '../../lib/store/cql/open.ts'
import { awaitCql, requireCql } from './await-stores.ts'
import { createProjector } from './projector.ts'
import type { RoleKind } from './role.ts'

export const PROJECTOR: RoleKind<CqlStores> = {
  name: 'projector',
  starts: 'it joins the projectors',
  drains: 'it drains: log streams are handed over',
  check: (config) => requireCql('projector', config),
  open: awaitCql,
  create: ({ config, urls, nats, shape, own, log, metrics }) => {
    const stores = { history: own.history, exclusive: false }
    return createProjector(config, urls, nats, shape, stores, log, metrics)
  },
}
