/** What went wrong, told to a person with what to do next, and the exit code for it. */
import { ERRORS, type ErrorCode, ParleyError } from '../../lib/errors.ts'
import type { Exit } from './exit-codes.ts'
import { Interrupted } from './rim.ts'

/** The command was called wrongly. */
export class Usage extends Error {
  override name = 'Usage'
}

export type Failure = { readonly exit: Exit; readonly text: string }

const LOGIN: Partial<Record<ErrorCode, string>> = {
  unauthorized:
    'Log in with `parley login HANDLE`, or make an account with `parley register HANDLE`.',
  token_expired: 'Log in again with `parley login HANDLE`.',
  device_removed: 'Log in again with `parley login HANDLE`: that makes a new device.',
}

const HINTS: Partial<Record<ErrorCode, string>> = {
  not_member: 'See `parley rooms` for those that you are in.',
  not_found: 'Check the spelling; users are looked up by their exact handle.',
  too_large: 'Cut it into several messages.',
  settled: 'It may have been sent long ago: look with `parley history`.',
  stale_join: 'You left or were removed since; send it again if it is still true.',
  version: 'Use a client of the server’s version.',
  exists: 'Choose another name.',
}

/** `server` is where the command connected to. */
export const failureOf = (error: unknown, server: string): Failure => {
  if (error instanceof Interrupted) return { exit: 'interrupted', text: 'Stopped.' }
  if (error instanceof Usage) return { exit: 'usage', text: error.message }
  if (!(error instanceof ParleyError)) {
    return { exit: 'failed', text: error instanceof Error ? error.message : String(error) }
  }
  const { code, message } = error
  const login = LOGIN[code]
  if (login !== undefined) return { exit: 'login', text: `${message} ${login}` }
  if (ERRORS[code].temporary) {
    const start = 'Is it running (`parley up`)? Give another address with --server.'
    return { exit: 'unreachable', text: `${message} (server ${server}) ${start}` }
  }
  const hint = HINTS[code]
  return { exit: 'refused', text: hint === undefined ? message : `${message} ${hint}` }
}
