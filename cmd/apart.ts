/** Roles that will run in processes of their own once the stores are servers that several processes can share. */
import type { Command } from 'commander'

const ROLES = {
  host: 'run rooms and users in a process of their own',
  projector: 'derive the history in a process of its own',
  api: 'serve the HTTP API in a process of its own',
} as const

export const registerApart = (program: Command): void => {
  for (const [name, doc] of Object.entries(ROLES)) {
    program
      .command(name)
      .description(doc)
      .allowUnknownOption()
      .allowExcessArguments()
      .action(() => {
        throw new Error(
          `\`parley ${name}\` needs stores that several processes can open. The embedded stores (LevelDB, PGlite) ` +
            `admit one process: run \`parley up\`, which holds this role, and gateways beside it with \`parley gateway\`.`,
        )
      })
  }
}
