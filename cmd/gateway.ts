/** `parley gateway`: client sockets in a process of their own. */
import type { Command } from 'commander'
import { createLog } from '../lib/log.ts'
import { configOf, withSettings } from './options.ts'
import { end, runService } from './roles/life.ts'
import { readRunInfo } from './roles/run-info.ts'

export const registerGateway = (program: Command): void => {
  const command = program
    .command('gateway')
    .description('run a gateway beside a host: of the same data directory, or with --nats-url')
  withSettings(command).action(async (options: Record<string, unknown>) => {
    const config = configOf(options)
    const log = createLog({ level: config.logLevel, format: config.logFormat })
    const { openNodeGateway } = await import('./roles/gateway.ts')
    const urls = config.natsUrl.length > 0 ? config.natsUrl : readRunInfo(config.data)?.nats
    if (urls === undefined) {
      throw new Error(
        `Nothing runs in ${config.data}: start \`parley up --no-gateway\` there first, or give --nats-url.`,
      )
    }
    const { gateway, close } = await openNodeGateway(config, urls, log)
    await runService(gateway, log, config.drainSeconds, () => {
      process.stdout.write(`The gateway serves ${gateway.url}\n`)
    })
    await close()
    end()
  })
}
