/** `parley register` and `parley login`: a profile becomes a device of an account. */

import { rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import type { Command } from 'commander'
import type { Account, Client } from '../../lib/client/index.ts'
import { ParleyError } from '../../lib/errors.ts'
import { runs } from './command.ts'
import { keepDelivery } from './delivery.ts'
import { folderOf, withDevice } from './device.ts'
import { Usage } from './failure.ts'
import { passwordFor } from './password.ts'

type Options = {
  password?: string
  name?: string
  device?: string
  queue?: boolean
  discard?: boolean
}

const define = (program: Command, verb: 'register' | 'login', doc: string): Command =>
  program
    .command(verb)
    .description(doc)
    .argument('<handle>', 'who you are: 3 to 30 letters, digits, `_` or `.`')
    .option('--password <password>', 'else PARLEY_PASSWORD, else it is asked for')
    .option('--device <name>', 'what to call this device', hostname())
    .option('--queue', 'let the server keep this device’s place, in a durable queue')
    .option('--discard', 'throw away what waits to be sent from this profile')

const perform = (verb: 'register' | 'login', command: Command): void =>
  runs<Options>(command, async (rim, globals, [given = ''], options) => {
    const handle = given.replace(/^@/, '')
    const password = await passwordFor(options.password, rim, verb === 'register')
    const folder = folderOf(globals, rim)
    if (options.discard === true) await discard(folder)
    const account = await withDevice(globals, rim, { outbox: 'wait' }, async (client) => {
      if ((await client.open()) !== 'held') {
        throw new Usage(
          'Another parley is sending with this profile: end it, or use another --profile.',
        )
      }
      const { device, name } = options
      const account = await entered(client, verb, { handle, password, name, device })
      await keepDelivery(folder, options.queue === true ? 'queue' : 'cursor')
      return account
    })
    const { user, device, server } = account
    if (globals.json)
      await rim.out(JSON.stringify({ user, handle: account.handle, device, server }))
    else await rim.out(`You are @${account.handle} (${user}) on ${server}, device ${device}.`)
  })

const entered = async (
  client: Client,
  verb: 'register' | 'login',
  given: Parameters<Client['register']>[0],
): Promise<Account> => {
  try {
    if (verb === 'register') return await client.register(given)
    const { handle, password, device } = given
    return await client.login({ handle, password, device })
  } catch (error) {
    throw explained(error, given.handle)
  }
}

const explained = (error: unknown, handle: string): unknown => {
  if (!(error instanceof ParleyError)) return error
  const detail = {
    exists: `@${handle} is taken.`,
    conflict: `${error.message} Send them with \`parley send\` or \`parley sync\`, or add --discard.`,
    unauthorized: error.message,
  }[error.code as string]
  return detail === undefined ? error : new ParleyError(error.code, { detail, cause: error })
}

/** All of the profile, its unsent messages included. */
const discard = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true })

export const registerAccount = (program: Command): void => {
  const register = define(program, 'register', 'make an account, and this profile a device of it')
  perform('register', register.option('--name <name>', 'what others see (the handle)'))
  perform('login', define(program, 'login', 'make this profile a new device of an account'))
}
