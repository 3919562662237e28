/** `parley register` and `parley login`: a profile becomes a device of an account. */

import { rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import type { Command } from 'commander'
import { ParleyError } from '../../lib/errors.ts'
import { runs } from './command.ts'
import { folderOf, withDevice } from './device.ts'
import { Usage } from './failure.ts'
import { passwordFor } from './password.ts'

type Options = { password?: string; name?: string; device?: string; discard?: boolean }

const define = (program: Command, verb: 'register' | 'login', doc: string): Command =>
  program
    .command(verb)
    .description(doc)
    .argument('<handle>', 'who you are: 3 to 30 letters, digits, `_` or `.`')
    .option('--password <password>', 'else PARLEY_PASSWORD, else it is asked for')
    .option('--device <name>', 'what to call this device', hostname())
    .option('--discard', 'throw away what waits to be sent from this profile')

const perform = (verb: 'register' | 'login', command: Command): void =>
  runs<Options>(command, async (rim, globals, [given = ''], options) => {
    const handle = given.replace(/^@/, '')
    const password = await passwordFor(options.password, rim, verb === 'register')
    if (options.discard === true) await discard(folderOf(globals, rim))
    const account = await withDevice(globals, rim, { outbox: 'wait' }, async (client) => {
      if ((await client.open()) !== 'held') {
        throw new Usage(
          'Another parley is sending with this profile: end it, or use another --profile.',
        )
      }
      const { device, name } = options
      try {
        if (verb === 'login') return await client.login({ handle, password, device })
        return await client.register({ handle, password, name, device })
      } catch (error) {
        throw explained(error, handle)
      }
    })
    const { user, device, server } = account
    if (globals.json)
      await rim.out(JSON.stringify({ user, handle: account.handle, device, server }))
    else await rim.out(`You are @${account.handle} (${user}) on ${server}, device ${device}.`)
  })

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
