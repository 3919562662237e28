/**
 * All settings of Parley as one table. A setting comes from a command-line option, else from its environment
 * variable, else from its default; nothing else reads the environment. `parley config` prints the table.
 */
type Kind<T> = { readonly parse: (text: string) => T | undefined; readonly expects: string }

const text: Kind<string> = { parse: (text) => text, expects: 'text' }
const flag: Kind<boolean> = {
  parse: (text) => ({ true: true, 1: true, false: false, 0: false })[text],
  expects: 'true or false',
}
const list: Kind<readonly string[]> = {
  parse: (text) =>
    text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  expects: 'words with commas between',
}
const integer = (least: number, most: number): Kind<number> => ({
  parse: (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    return value >= least && value <= most ? value : undefined
  },
  expects: `a whole number from ${least} to ${most}`,
})
const copies: Kind<readonly string[]> = {
  parse: (text) => {
    const parts = list.parse(text) ?? []
    return parts.every((part) => /^[\w-]{1,48}:[1-9]\d?$/.test(part)) ? parts : undefined
  },
  expects: 'datacenter:copies with commas between',
}
const oneOf = <const T extends readonly string[]>(...words: T): Kind<T[number]> => ({
  parse: (text) => words.find((word) => word === text),
  expects: words.join(' or '),
})

type Setting<T> = { readonly kind: Kind<T>; readonly default: NoInfer<T>; readonly doc: string }
const setting = <T>(kind: Kind<T>, initial: NoInfer<T>, doc: string): Setting<T> => ({
  kind,
  default: initial,
  doc,
})

const PORT = integer(0, 65_535)
const BYTES = 2 ** 50

export const SETTINGS = {
  data: setting(text, '.parley', 'Directory of everything that this node keeps'),
  keys: setting(
    text,
    '',
    'Directory of the keys of all tokens, the same for every API and gateway; empty: `keys` in the data directory',
  ),
  logLevel: setting(oneOf('debug', 'info', 'warn', 'error'), 'info', 'Least severe events to log'),
  logFormat: setting(oneOf('text', 'json'), 'text', 'Lines for people or for machines'),

  apiHost: setting(text, '127.0.0.1', 'Address that the HTTP API listens on'),
  apiPort: setting(PORT, 8080, 'Port of the HTTP API; 0 takes a free one'),
  gatewayHost: setting(text, '127.0.0.1', 'Address that the gateway listens on'),
  gatewayPort: setting(PORT, 8090, 'Port of the WebSocket gateway; 0 takes a free one'),
  gatewayUrl: setting(
    text,
    '',
    'Where clients reach this gateway; empty: made of its address and port',
  ),
  sharePort: setting(flag, false, 'Several gateway processes may listen on the same port'),
  tlsKey: setting(text, '', 'PEM file of the gateway’s key; with tlsCert it serves TLS'),
  tlsCert: setting(text, '', 'PEM file of the gateway’s certificate chain'),
  origins: setting(
    list,
    [],
    'Origins of web pages that may connect, exactly as browsers send them',
  ),
  trustedProxies: setting(
    list,
    [],
    'Addresses or networks of proxies whose X-Forwarded-For is believed',
  ),

  opsHost: setting(
    text,
    '127.0.0.1',
    'Address of /health, /ready and /metrics of a role in a process of its own',
  ),
  opsPort: setting(
    PORT,
    0,
    'Port of these; 0 takes a free one, so that several processes fit on a machine',
  ),

  natsUrl: setting(list, [], 'NATS servers; empty: one is launched in the data directory'),
  natsPort: setting(PORT, 0, 'Port of the launched nats-server; 0 takes a free one, once'),
  natsServer: setting(text, '', 'The nats-server to launch; empty: one is found or fetched'),
  sync: setting(
    oneOf('default', 'always'),
    'default',
    '`always`: acked messages survive a power loss (fsync before the ack)',
  ),
  partitions: setting(integer(1, 4096), 64, 'Partitions; fixed when the cluster is made'),
  streams: setting(
    integer(0, 64),
    0,
    'Streams of each family; fixed when the cluster is made; 0: 1 on one node, 8 in a cluster',
  ),
  replicas: setting(integer(1, 5), 1, 'Copies of each stream'),
  logBytes: setting(
    integer(2 ** 20, BYTES),
    16 * 2 ** 30,
    'Largest size of the logs; from 80 % on new messages are refused',
  ),
  inboxBytes: setting(integer(2 ** 20, BYTES), 4 * 2 ** 30, 'Largest size of the inboxes'),

  cqlContactPoints: setting(
    list,
    [],
    'Some nodes of ScyllaDB or Cassandra, without ports: history and snapshots are there; empty: in the data directory',
  ),
  cqlPort: setting(PORT, 9042, 'CQL port of these nodes'),
  cqlDatacenter: setting(text, 'datacenter1', 'Datacenter whose nodes are asked'),
  cqlKeyspace: setting(text, 'parley', 'Keyspace of this house'),
  cqlReplication: setting(
    copies,
    [],
    'How a keyspace that is not there is made, such as `dc1:3,dc2:3`; empty: it must be there',
  ),
  cqlTablets: setting(
    oneOf('default', 'on', 'off'),
    'default',
    'ScyllaDB only: whether a keyspace that is made has tablets',
  ),
  cqlUser: setting(text, '', 'User name of CQL; empty: none is asked for'),
  cqlPasswordFile: setting(text, '', 'File that holds that user’s password'),
  cqlTls: setting(flag, false, 'CQL over TLS'),
  cqlTlsCa: setting(text, '', 'PEM file of the authority of these nodes; empty: those of Node'),
  cqlTlsKey: setting(text, '', 'PEM file of a key, for nodes that ask for a certificate'),
  cqlTlsCert: setting(text, '', 'PEM file of its certificate'),

  postgresUrl: setting(
    text,
    '',
    'Where accounts are: postgresql://user:password@host:5432/database; empty: in the data directory',
  ),
  postgresPasswordFile: setting(
    text,
    '',
    'File that holds the password of PostgreSQL, for a URL without one',
  ),
  postgresTls: setting(
    oneOf('auto', 'off', 'require', 'verify'),
    'auto',
    'TLS to PostgreSQL; `require` does not look at the certificate; `auto`: `verify`, but `off` to this machine',
  ),
  postgresTlsCa: setting(
    text,
    '',
    'PEM file of the authority of that server; empty: those of Node',
  ),
  postgresPool: setting(
    integer(1, 1000),
    10,
    'Most connections of this process to PostgreSQL; for moments one more',
  ),

  textBytes: setting(integer(1, 60_000), 8192, 'Largest text of a message'),
  groupMembers: setting(integer(2, 256), 256, 'Most members of a group'),
  devices: setting(integer(1, 100), 10, 'Most devices of a user'),
  frameRate: setting(integer(1, 1e6), 500, 'Frames a second that a device may send on average'),
  frameBurst: setting(integer(1, 1e6), 2000, 'Frames that a device may send at once'),
  byteRate: setting(
    integer(1024, 1e9),
    128 * 1024,
    'Bytes a second that a device may send on average',
  ),
  byteBurst: setting(integer(65_536, 1e9), 2048 * 1024, 'Bytes that a device may send at once'),
  maxSessions: setting(integer(1, 1e6), 200_000, 'Sessions of one gateway'),
  sessionsPerAddress: setting(integer(1, 1e6), 20_000, 'Sessions from one address'),
  apiRate: setting(integer(1, 1e6), 600, 'API requests a minute from one address'),
  loginRate: setting(integer(1, 1e6), 60, 'Registrations and logins a minute from one address'),
  heartbeatSeconds: setting(
    integer(1, 600),
    30,
    'A client says something at least this often; silent for twice as long, it is closed',
  ),
  roomIdleSeconds: setting(
    integer(1, 86_400),
    60,
    'A room that nobody uses for this long leaves the memory',
  ),
  retentionDays: setting(
    integer(0, 36_500),
    0,
    'Days that messages stay in the history, then they are dropped for good; 0: for ever',
  ),
  accessMinutes: setting(integer(1, 1440), 15, 'How long an access token is valid'),
  resumeHours: setting(integer(1, 24), 24, 'How long a resume token of the gateway is valid'),
  refreshDays: setting(
    integer(1, 400),
    30,
    'How long a device stays logged in without coming back',
  ),
  drainSeconds: setting(integer(1, 600), 20, 'How long a process may take to stop'),
} as const

type Settings = typeof SETTINGS
export type Config = {
  readonly [K in keyof Settings]: Settings[K] extends Setting<infer T> ? T : never
}
export type SettingName = keyof Settings

/** `apiPort` → `PARLEY_API_PORT` */
export const environmentName = (name: string): string =>
  `PARLEY_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`

/**
 * The frozen settings of this process.
 * @throws Error that names the setting, where it came from, and what is expected.
 */
export const readConfig = (
  options: Readonly<Record<string, unknown>> = {},
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Config => {
  const config: Record<string, unknown> = {}
  for (const [name, { kind, default: initial }] of Object.entries(SETTINGS)) {
    const given = options[name] ?? environment[environmentName(name)]
    if (given === undefined) {
      config[name] = initial
      continue
    }
    const value = kind.parse(String(given))
    if (value === undefined) {
      const where = options[name] === undefined ? environmentName(name) : `--${optionName(name)}`
      throw new Error(`${where} must be ${kind.expects}, not "${String(given)}"`)
    }
    config[name] = value
  }
  return Object.freeze(config) as Config
}

/** `apiPort` → `api-port` */
export const optionName = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
