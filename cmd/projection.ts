/** `parley projection`, `rebuild` and `verify`: what is derived from the log, and what operators want of it. */
import type { Command } from 'commander'
import type { Nats } from '../lib/bus/bus.ts'
import type { FixedShape } from '../nats/shape.ts'
import { askCluster, withCluster } from './cluster.ts'

type Options = Record<string, unknown>

const DIFFERS = 1
const FAILED = 2

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

type Actions = typeof import('./projection-actions.ts')

// Loaded when it is used: the commands of a person who chats need none of it, and start quicker.
const on = (options: Options, act: (actions: Actions, nats: Nats, shape: FixedShape) => unknown) =>
  askCluster(options, async (nats, shape) => {
    await act(await import('./projection-actions.ts'), nats, shape)
  })

const registerRebuild = (parent: Command, doc: string): void => {
  withCluster(parent.command('rebuild <projection>').description(doc))
    .option('--no-wait', 'return at once; `parley projection list` shows how far it is')
    .action((name: string, options: Options) =>
      on(options, ({ rebuild }, nats, shape) =>
        rebuild(nats, shape, name, options.wait !== false, say),
      ),
    )
}

const registerVerify = (program: Command): void => {
  const command = program
    .command('verify')
    .description(
      `compare the log with the history while the cluster runs; ends with code ${DIFFERS} when they ` +
        `differ, ${FAILED} when they could not be compared`,
    )
    .option('--json', 'each difference, and at last the sums, as one object a line')
  withCluster(command).action(async (options: Options) => {
    try {
      await on(options, async ({ verify }, nats, shape) => {
        const differences = await verify(nats, shape, options.json === true, say)
        if (differences > 0) process.exitCode = DIFFERS
      })
    } catch (error) {
      process.stderr.write(`parley: ${error instanceof Error ? error.message : String(error)}\n`)
      process.exitCode = FAILED
    }
  })
}

export const registerProjection = (program: Command): void => {
  const group = program.command('projection').description('what is derived from the log')
  withCluster(group.command('list').description('how far each is on each log stream, and by whom'))
    .option('--json', 'one object a line')
    .action((options: Options) =>
      on(options, ({ list }, nats, shape) => list(nats, shape, options.json === true, say)),
    )
  withCluster(group.command('aside <projection>').description('records set aside, and why'))
    .option('--json', 'one object a line, with the record in base64')
    .action((name: string, options: Options) =>
      on(options, ({ listAside }, nats, shape) =>
        listAside(nats, shape, name, options.json === true, say),
      ),
    )
  for (const [verb, paused, doc] of [
    ['pause', true, 'store nothing until it is resumed; the log is kept, and fills'],
    ['resume', false, 'go on where it was paused, and try again what was set aside'],
  ] as const) {
    withCluster(group.command(`${verb} <projection>`).description(doc)).action(
      (name: string, options: Options) =>
        on(options, ({ setPaused }, nats) => setPaused(nats, name, paused, say)),
    )
  }
  registerRebuild(group, 'derive again what the log still holds; readers notice nothing')
  registerRebuild(program, 'the same as `projection rebuild`')
  registerVerify(program)
}
