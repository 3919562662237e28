/** The command line as a newcomer types it. */
import t from 'tap'
import { Chat } from './chat.ts'
import { chatting } from './cli/chatting.ts'
import { refusals } from './cli/refusals.ts'
import { inEachMode } from './mode.ts'
import { Server } from './server.ts'

t.setTimeout(1_200_000)

inEachMode(t, async (t, mode) => {
  const server = await Server.start()
  t.teardown(() => server.end())
  const chat = await Chat.open(server.api, mode)
  t.teardown(() => chat.end())
  chatting(t, server, chat)
  // Whoever keeps its place, a device is refused alike.
  if (mode === 'cursor') refusals(t, server, chat)
})
