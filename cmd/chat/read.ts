/** `parley tail`, `parley history` and `parley sync`: what was said. */
import type { Command } from 'commander'
import type { Room, RoomEvent } from '../../lib/client/index.ts'
import { counting, runs } from './command.ts'
import { connect, findRoom, type Globals, withDevice } from './device.ts'
import { Names } from './names.ts'
import { humanEvent, jsonEvent, usersIn } from './print.ts'
import type { Rim } from './rim.ts'

const WHERE = 'room id, name of a group, or @HANDLE'
const EVENTS = 'also who came, went and was made what; in JSON these have a `kind`'
const PAGE = 256

type Shown = { events?: boolean }

const isShown = (event: RoomEvent, { events }: Shown): boolean =>
  event.kind === 'message' || events === true

const printer = (rim: Rim, globals: Globals, names: Names) => async (event: RoomEvent) => {
  if (!globals.json) await names.learn(usersIn(event))
  await rim.out(globals.json ? jsonEvent(event) : humanEvent(event, names, Date.now()))
}

const registerTail = (program: Command): void => {
  const tail = program
    .command('tail')
    .description('print messages as they come')
    .argument('<room>', WHERE)
    .option('--count <n>', 'end after this many', counting)
    .option('--from <seq>', 'begin with this number, 1 being the first (what is new)', counting)
    .option('--events', EVENTS)
  runs<Shown & { count?: number; from?: number }>(
    tail,
    async (rim, globals, [where = ''], options) => {
      await withDevice(globals, rim, { outbox: 'never', follow: 'opened' }, async (client) => {
        await connect(client, rim)
        const print = printer(rim, globals, new Names(client))
        const room = await findRoom(client, where)
        let left = options.count ?? Number.POSITIVE_INFINITY
        for await (const event of room.events({ ...(options.from && { from: options.from }) })) {
          if (!isShown(event, options)) continue
          await print(event)
          if (--left === 0) return
        }
        rim.note('parley: you are no longer in this room.')
      })
    },
  )
}

/** The last `limit` events that are shown, ascending. */
const newest = async (
  room: Room,
  limit: number,
  before: number | undefined,
  shown: Shown,
): Promise<RoomEvent[]> => {
  const found: RoomEvent[] = []
  for (let to = before; found.length < limit; ) {
    const page = await room.history({ before: to, limit: PAGE })
    const [oldest] = page
    if (oldest === undefined) break
    found.unshift(...page.filter((event) => isShown(event, shown)))
    to = oldest.seq
  }
  return found.slice(-limit)
}

const registerHistory = (program: Command): void => {
  const history = program
    .command('history')
    .description('print what was said')
    .argument('<room>', WHERE)
    .option('--limit <n>', 'at most this many, the newest', counting, 50)
    .option('--before <seq>', 'only what is before this number', counting)
    .option('--events', EVENTS)
  runs<Shown & { limit: number; before?: number }>(
    history,
    async (rim, globals, [where = ''], options) => {
      await withDevice(globals, rim, { outbox: 'never', follow: 'opened' }, async (client) => {
        await connect(client, rim)
        const names = new Names(client)
        const room = await findRoom(client, where)
        const events = await newest(room, options.limit, options.before, options)
        if (!globals.json) await names.learn(events.flatMap(usersIn))
        const print = printer(rim, globals, names)
        for (const event of events) await print(event)
      })
    },
  )
}

const registerSync = (program: Command): void => {
  const sync = program
    .command('sync')
    .description(
      'fetch and print what is new on this device since its last sync, and send what waits',
    )
    .option('--events', EVENTS)
  runs<Shown>(sync, async (rim, globals, _args, options) => {
    await withDevice(globals, rim, { follow: 'all', history: 'all' }, async (client) => {
      const print = printer(rim, globals, new Names(client))
      let printing = Promise.resolve()
      let count = 0
      client.on('event', (event) => {
        if (!isShown(event, options)) return
        count++
        printing = printing.then(() => print(event))
      })
      await client.held()
      await connect(client, rim)
      await client.caughtUp()
      await client.idle()
      await printing
      if (!globals.json) rim.note(`Up to date: ${count} new in ${client.rooms().length} rooms.`)
    })
  })
}

export const registerRead = (program: Command): void => {
  registerTail(program)
  registerHistory(program)
  registerSync(program)
}
