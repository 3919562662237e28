/** `parley gateway`: client sockets in a process of their own. */
import type { Command } from 'commander'
import { createLog } from '../lib/log.ts'
import { configOf, withSettings } from './options.ts'
import { end, runService } from './roles/life.ts'

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

export const registerGateway = (program: Command): void => {
  const command = program
    .command('gateway')
    .description('run a gateway beside a host: of the same data directory, or with --nats-url')
  withSettings(command).action(async (options: Record<string, unknown>) => {
    const config = configOf(options)
    const log = createLog({ level: config.logLevel, format: config.logFormat })
    const { openGatewayProcess } = await import('./roles/gateway-process.ts')
    const gateway = await openGatewayProcess(config, log, (url) =>
      say(`Operations at ${url}: /health, /ready, /metrics`),
    )
    await runService(gateway, log, config.drainSeconds, () => {
      say(`The gateway serves ${gateway.url}`)
    })
    end()
  })
}
