/** A profile as a client: where it is kept, which server it belongs to, and how a command connects with it. */
import { join } from 'node:path'
import { folderProfile, holderOf } from '../../lib/client/index.node.ts'
import { Client, type ClientOptions, parseRoomId, type Room } from '../../lib/client/index.ts'
import { deliveryOf } from './delivery.ts'
import { Usage } from './failure.ts'
import { Interrupted, type Rim } from './rim.ts'

export type Globals = {
  readonly profile: string | undefined
  readonly server: string | undefined
  readonly json: boolean
}

export const DEFAULT_SERVER = 'http://127.0.0.1:8080'
const PROFILE = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/
/** ms in which a command that was just called must be connected. */
const PATIENCE = 10_000

export const folderOf = ({ profile = 'default' }: Globals, rim: Rim): string => {
  if (!PROFILE.test(profile))
    throw new Usage(`A profile is letters, digits, \`.\`, \`_\`, \`-\`: ${profile}`)
  return join(rim.env.PARLEY_HOME || join(rim.home, '.parley'), profile)
}

/** The server that is asked for, else the one that the profile logged in to. */
export const serverOf = async (globals: Globals, rim: Rim): Promise<string> => {
  const given = globals.server ?? (rim.env.PARLEY_SERVER || undefined)
  if (given === undefined) {
    const account = await folderProfile(folderOf(globals, rim)).cache.account()
    return account?.server ?? DEFAULT_SERVER
  }
  if (!URL.canParse(given) || !/^https?:/.test(given)) {
    throw new Usage(`A server is an address such as ${DEFAULT_SERVER}: ${given}`)
  }
  return given
}

/** Runs `work` with a client of the profile, and closes it whatever comes. */
export const withDevice = async <T>(
  globals: Globals,
  rim: Rim,
  options: Omit<ClientOptions, 'api' | 'cache' | 'locks' | 'delivery'>,
  work: (client: Client) => Promise<T>,
): Promise<T> => {
  const folder = folderOf(globals, rim)
  const api = await serverOf(globals, rim)
  const delivery = await deliveryOf(folder)
  const client = new Client({
    ...{ api, ...folderProfile(folder), delivery, backoff: BACKOFF },
    ...options,
  })
  client.on('outbox', (hold) => {
    if (hold === 'waiting') void tellWhoHolds(folder, rim)
  })
  client.on('warning', (error) => rim.note(`parley: ${error.message}`))
  try {
    return await Promise.race([work(client), interruption(rim.signal), dismissal(client)])
  } finally {
    await client.close()
  }
}

/** A person or script waits: come back quickly. */
const BACKOFF = { base: 100, cap: 2_000 }

const tellWhoHolds = async (folder: string, rim: Rim): Promise<void> => {
  const pid = await holderOf(folder, 'outbox')
  const who = pid === undefined ? 'another process' : `process ${pid}`
  rim.note(`parley: ${who} is sending with this profile; waiting for it to end.`)
}

const interruption = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(new Interrupted())
    signal.addEventListener('abort', () => reject(new Interrupted()), { once: true })
  })

/** The server wants this device no more, whatever the command waits for. */
const dismissal = (client: Client): Promise<never> =>
  new Promise((_, reject) => {
    client.on('state', ({ state, reason }) => {
      if (state === 'closed' && reason !== undefined) reject(reason)
    })
  })

/** Connects, and tells a person of every cut that lasts. */
export const connect = async (client: Client, rim: Rim, within = PATIENCE): Promise<void> => {
  let told = false
  let timer: NodeJS.Timeout | undefined
  client.on('state', ({ state, reason }) => {
    clearTimeout(timer)
    if (state === 'open') {
      if (told) rim.note('parley: connected again.')
      told = false
    } else if (state !== 'closed' && !told) {
      timer = setTimeout(() => {
        told = true
        rim.note(
          `parley: no connection: ${reason?.message ?? 'the server does not answer'} Trying again …`,
        )
      }, 1_500)
      timer.unref()
    }
  })
  await client.connect({ within })
}

/** The room that `@HANDLE`, an id or the name of a group stands for. */
export const findRoom = async (client: Client, where: string): Promise<Room> => {
  if (where.startsWith('@')) return client.dm(`@${where.slice(1)}`)
  const id = parseRoomId(where)
  if (id !== undefined) return client.room(id)
  const named = client.rooms().filter(({ kind, title }) => kind === 'group' && title === where)
  const [only] = named
  if (only !== undefined && named.length === 1) return client.room(only.room)
  if (named.length > 1) {
    const ids = named.map(({ room }) => room).join(', ')
    throw new Usage(`There are ${named.length} rooms named ${where}: give an id of ${ids}`)
  }
  throw new Usage(`No room is named ${where}: give a room id (see \`parley rooms\`) or @HANDLE.`)
}
