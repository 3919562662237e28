import t from 'tap'
import { devicePromises } from './promises/devices.ts'
import { groupPromises } from './promises/groups.ts'
import { outboxPromises } from './promises/outbox.ts'
import { profilePromises } from './promises/profiles.ts'
import { queuePromises } from './promises/queues.ts'
import { Server } from './server.ts'

t.setTimeout(600_000)

// What is asked here is not how much a client may ask.
const UNLIMITED = ['frame-rate', 'frame-burst', 'api-rate', 'login-rate'].flatMap((name) => [
  `--${name}`,
  '1000000',
])

const server = await Server.start([...UNLIMITED, '--byte-rate', '100000000'])
t.teardown(() => server.end())

devicePromises(t, server)
groupPromises(t, server)
// These restart the server.
profilePromises(t, server)
outboxPromises(t, server)
queuePromises(t, server)
