/** `parley up`: everything on this machine in one process. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import { createLog } from '../lib/log.ts'
import { configOf, withSettings } from './options.ts'
import { end, runService } from './roles/life.ts'
import type { Node } from './roles/node.ts'
import { removeRunInfo, writeRunInfo } from './roles/run-info.ts'

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const greet = async (node: Node, gateway: boolean): Promise<void> => {
  while (!node.ready()) await pause(10)
  say(`Parley is up.`)
  say(`  API        ${node.apiUrl()}`)
  if (gateway) say(`  WebSocket  ${node.gateway?.url}`)
  say(`Try it, in another terminal:`)
  say(`  npx parley --profile ann register ann --password 'correct horse'`)
  say(`  npx parley --profile bob register bob --password 'battery staple'`)
  say(`  npx parley --profile ann send @bob 'Hello, Bob'`)
}

export const registerUp = (program: Command): void => {
  const command = program
    .command('up')
    .description('run everything on this machine: NATS, host, projector, API and gateway')
    .option('--no-gateway', 'leave the gateway to other processes (`parley gateway`)')
  withSettings(command).action(async (options: Record<string, unknown>) => {
    const config = configOf(options)
    const withGateway = options.gateway !== false
    const log = createLog({ level: config.logLevel, format: config.logFormat })
    // Loaded here: the commands of a person who chats need none of it, and start quicker.
    const { openNode } = await import('./roles/node.ts')
    const node = await openNode(config, log, withGateway)
    await runService(node.service, log, config.drainSeconds, () => {
      writeRunInfo(config.data, {
        pid: process.pid,
        nats: node.natsUrls,
        api: node.apiUrl(),
        gateway: node.gateway?.url,
      })
      void greet(node, withGateway)
    })
    removeRunInfo(config.data)
    end()
  })
}
