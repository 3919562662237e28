import t from 'tap'
import { inEachMode } from './mode.ts'
import { devicePromises } from './promises/devices.ts'
import { groupPromises } from './promises/groups.ts'
import { outboxPromises } from './promises/outbox.ts'
import { profilePromises } from './promises/profiles.ts'
import { queuePromises } from './promises/queues.ts'
import { Server } from './server.ts'
import { Stage } from './stage.ts'

t.setTimeout(1_200_000)

// What is asked here is not how much a client may ask.
const UNLIMITED = ['frame-rate', 'frame-burst', 'api-rate', 'login-rate'].flatMap((name) => [
  `--${name}`,
  '1000000',
])

const server = await Server.start([...UNLIMITED, '--byte-rate', '100000000'])
t.teardown(() => server.end())

inEachMode(t, (t, mode) => {
  const stage = new Stage(server, mode)
  devicePromises(t, stage)
  groupPromises(t, stage)
  // These restart the server.
  profilePromises(t, stage)
  outboxPromises(t, stage)
})
queuePromises(t, server)
