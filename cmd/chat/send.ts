/**
 * `parley send`: one message, or all lines of a pipe. Pipelined, in order, each exactly once; goes on over cuts and
 * restarts of the server, and ends when everything is acked.
 */
import type { Command } from 'commander'
import { type Ack, type Client, ParleyError, type Room } from '../../lib/client/index.ts'
import { runs } from './command.ts'
import { connect, findRoom, withDevice } from './device.ts'
import { linesOf, messagesOf } from './lines.ts'
import type { Rim } from './rim.ts'

/** ms in which the server must be there at the start; later cuts are waited out. */
const PATIENCE = 60_000
/** Messages given and not acked: enough for a full pipeline, a small part of what an outbox holds. */
const AHEAD = 256

export const registerSend = (program: Command): void => {
  const send = program
    .command('send')
    .description('send a message, or with `-` every line of standard input as one')
    .argument('<room>', 'room id, name of a group, or @HANDLE')
    .argument('[text]', 'the message; `-`, or nothing, reads standard input')
  runs(send, async (rim, globals, [where = '', text = '-']) => {
    await withDevice(globals, rim, { follow: 'opened' }, async (client) => {
      // Connected only then: the server knows one outbox of a device.
      await client.held({ signal: rim.signal })
      await connect(client, rim, PATIENCE)
      if (client.pending > 0)
        rim.note(`parley: sending ${client.pending} messages left from before.`)
      const report = async (ack: Ack, room: Room, said: string) => {
        if (!globals.json) return
        const { seq, id, time } = ack
        await rim.out(
          JSON.stringify({ room: room.id, seq, id, time, sender: client.user, text: said }),
        )
      }
      const room = await findRoom(client, where)
      try {
        if (text !== '-') await report(await room.send(text), room, text)
        else await sendLines(rim, room, report, globals.json)
      } finally {
        if (rim.signal.aborted) tellLeft(client, rim)
      }
    })
  })
}

/** What is in the outbox is not lost: say so to whoever stops the command. */
const tellLeft = (client: Client, rim: Rim): void => {
  if (client.pending === 0) return
  rim.note(
    `parley: ${client.pending} messages are in the outbox; the next \`parley send\` or \`sync\` sends them.`,
  )
}

type Report = (ack: Ack, room: Room, text: string) => Promise<void>

const sendLines = async (rim: Rim, room: Room, report: Report, quiet: boolean): Promise<void> => {
  const messages = messagesOf(linesOf(rim.stdin))
  const waiting: Promise<void>[] = []
  let failed: unknown
  let count = 0
  let last: Ack | undefined
  // Reports keep the order of the lines: acks of a room come in it.
  const give = (text: string): Promise<void> =>
    room.send(text).then(
      async (ack) => {
        last = ack
        await report(ack, room, text)
      },
      (error: unknown) => {
        failed ??= located(error, count)
      },
    )
  let next = await messages.next()
  for (; next.done !== true && failed === undefined; next = await messages.next()) {
    count++
    if (waiting.length >= AHEAD) await waiting.shift()
    waiting.push(give(next.value))
  }
  await Promise.all(waiting)
  if (failed !== undefined) throw failed
  if (next.done === true && next.value > 0) {
    rim.note('parley: the input ended with an empty line that no message could carry.')
  }
  if (!quiet && last !== undefined)
    rim.note(`Sent ${count} messages, the last as number ${last.seq}.`)
}

const located = (error: unknown, message: number): unknown => {
  if (!(error instanceof ParleyError) || error.canRetry) return error
  return new ParleyError(error.code, {
    detail: `Message ${message}: ${error.message}`,
    cause: error,
  })
}
