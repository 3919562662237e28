/** `parley rooms` and `parley create`. */
import type { Command } from 'commander'
import type { Client } from '../../lib/client/index.ts'
import type { RoomId } from '../../lib/ids.ts'
import { runs } from './command.ts'
import { connect, withDevice } from './device.ts'
import { Names } from './names.ts'
import { humanRoom, jsonRoom } from './print.ts'

/** ms */
const LISTED_WITHIN = 5_000

/** The list has the room, so that the next command finds it by its name; or that takes too long. */
const listed = async (client: Client, room: RoomId): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const off = client.on('room', (summary) => summary.room === room && resolve())
  const timer = setTimeout(resolve, LISTED_WITHIN)
  if (client.rooms().some((summary) => summary.room === room)) resolve()
  await promise
  clearTimeout(timer)
  off()
}

export const registerRooms = (program: Command): void => {
  const rooms = program.command('rooms').description('list your rooms, newest first')
  runs(rooms, async (rim, globals) => {
    await withDevice(globals, rim, { outbox: 'never', follow: 'opened' }, async (client) => {
      await connect(client, rim)
      const list = client.rooms()
      const names = new Names(client)
      if (!globals.json) await names.learn(list.flatMap(({ peer, sender }) => [peer, sender]))
      const now = Date.now()
      for (const room of list) {
        await rim.out(globals.json ? jsonRoom(room) : humanRoom(room, names, now))
      }
      if (list.length === 0)
        rim.note('No rooms yet: write to somebody with `parley send @HANDLE TEXT`.')
    })
  })

  const create = program
    .command('create')
    .description('make a group')
    .argument('<name>', 'what to call it')
    .argument('[handles...]', 'whom to add')
    .option('--open-history', 'members added later may read from the start')
  runs<{ openHistory?: boolean }>(
    create,
    async (rim, globals, [title = '', ...handles], options) => {
      await withDevice(globals, rim, { follow: 'opened' }, async (client) => {
        await client.held({ signal: rim.signal })
        await connect(client, rim)
        const members = handles.map((handle) => `@${handle.replace(/^@/, '')}` as const)
        const openHistory = options.openHistory === true
        const { id } = await client.createGroup({ title, members, openHistory })
        await listed(client, id)
        await rim.out(globals.json ? JSON.stringify({ room: id, title }) : id)
      })
    },
  )
}
