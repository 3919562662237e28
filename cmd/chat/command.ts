/** What all commands of a chat share: global options, the world around, and how a failure ends. */
import { homedir } from 'node:os'
import { type Command, InvalidArgumentError } from 'commander'
import { type Globals, serverOf } from './device.ts'
import { EXIT } from './exit-codes.ts'
import { failureOf } from './failure.ts'
import { askHidden } from './password.ts'
import { Interrupted, type Rim } from './rim.ts'

export type Action<Options> = (
  rim: Rim,
  globals: Globals,
  args: readonly string[],
  options: Options,
) => Promise<void>

const GLOBALS = [
  ['--profile <name>', 'the device to use, one of several side by side (default)'],
  ['--server <url>', 'address of the API (of the login, else http://127.0.0.1:8080)'],
  ['--json', 'one JSON object a line'],
] as const

/** The global options may stand before the command or after it. */
export const withGlobals = (command: Command): Command => {
  for (const [flags, doc] of GLOBALS) command.option(flags, doc)
  return command
}

/** A call that is no valid one ends with the code for that. */
export const usageExits = (command: Command): Command =>
  command.exitOverride(({ exitCode }) =>
    process.exit(exitCode === 0 ? EXIT.ok.code : EXIT.usage.code),
  )

/** Gives `command` its action, its global options and its exit codes. */
export const runs = <Options>(command: Command, action: Action<Options>): void => {
  withGlobals(usageExits(command)).action(async (...given: unknown[]) => {
    const self = given.at(-1) as Command
    const before = self.parent?.opts() ?? {}
    const { profile, server, json, ...options } = self.opts()
    const globals: Globals = {
      profile: profile ?? before.profile,
      server: server ?? before.server,
      json: json === true || before.json === true,
    }
    process.exitCode = await perform(action, globals, self.args, options as Options)
  })
}

const perform = async <Options>(
  action: Action<Options>,
  globals: Globals,
  args: readonly string[],
  options: Options,
): Promise<number> => {
  const stop = new AbortController()
  const onSignal = () => stop.abort(new Interrupted())
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, onSignal)
  const rim = realRim(stop.signal)
  try {
    await action(rim, globals, args, options)
    return EXIT.ok.code
  } catch (error) {
    if (error instanceof ReaderGone) return EXIT.ok.code
    const server = await serverOf(globals, rim).catch(() => globals.server ?? '')
    const { exit, text } = failureOf(error, server)
    rim.note(`parley: ${text}`)
    return EXIT[exit].code
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, onSignal)
    // A pipe that nobody ends would keep a process that is done.
    process.stdin.destroy()
  }
}

/** Whoever read our output has closed it, as `head` does. */
class ReaderGone extends Error {}

const realRim = (signal: AbortSignal): Rim => {
  let gone: ReaderGone | undefined
  process.stdout.on('error', () => {
    gone = new ReaderGone()
  })
  return {
    env: process.env,
    home: homedir(),
    stdin: process.stdin,
    interactive: process.stdin.isTTY === true,
    out: async (line) => {
      if (gone !== undefined) throw gone
      if (process.stdout.write(`${line}\n`)) return
      await new Promise<void>((resolve) => {
        process.stdout.once('drain', resolve)
        process.stdout.once('close', resolve)
      })
    },
    note: (line) => void process.stderr.write(`${line}\n`),
    askHidden: (question) => askHidden(question, signal),
    signal,
  }
}

/** For a number from 1 on. */
export const counting = (text: string): number => {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < 1) {
    throw new InvalidArgumentError('It is a whole number from 1 on.')
  }
  return value
}
