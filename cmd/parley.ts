/** The command `parley`. */
import { Command } from 'commander'
import { registerApart } from './apart.ts'
import { registerChat } from './chat/chat.ts'
import { registerConfig } from './config.ts'
import { registerProjection } from './projection.ts'
import { registerSeed } from './seed.ts'
import { registerUp } from './up.ts'

const program = new Command('parley')
  .description(
    'A chat cluster: every user and every group is an actor, every acked message is committed',
  )
  .showHelpAfterError()

registerUp(program)
registerApart(program)
registerProjection(program)
registerSeed(program)
registerConfig(program)
registerChat(program)

try {
  await program.parseAsync()
} catch (error) {
  process.stderr.write(`parley: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
