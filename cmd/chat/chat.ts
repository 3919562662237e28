/** The commands of a person who chats, on the client of lib/client. */
import type { Command } from 'commander'
import { registerAccount } from './account.ts'
import { usageExits, withGlobals } from './command.ts'
import { EXIT } from './exit-codes.ts'
import { registerRead } from './read.ts'
import { registerRooms } from './rooms.ts'
import { registerSend } from './send.ts'

const exits = Object.values(EXIT).map(({ code, doc }) => `  ${String(code).padStart(3)}  ${doc}`)

/** Adds them, and the global options, which stand before a command or after one of these. */
export const registerChat = (program: Command): void => {
  withGlobals(usageExits(program.enablePositionalOptions()))
  registerAccount(program)
  registerRooms(program)
  registerSend(program)
  registerRead(program)
  program.addHelpText(
    'after',
    `\nExit codes of register, login, rooms, create, send, tail, history, sync:\n${exits.join('\n')}`,
  )
}
