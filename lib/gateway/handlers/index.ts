/** Which handler each client frame has. */
import { add } from './add.ts'
import type { ClientFrameName, Context, Handler } from './context.ts'
import { create } from './create.ts'
import { fetch } from './fetch.ts'
import { hello } from './hello.ts'
import { leave } from './leave.ts'
import { open } from './open.ts'
import { ping } from './ping.ts'
import { queue } from './queue.ts'
import { queueAck } from './queue-ack.ts'
import { read } from './read.ts'
import { remove } from './remove.ts'
import { role } from './role.ts'
import { send } from './send.ts'
import { sync } from './sync.ts'

export const HANDLERS: { readonly [N in ClientFrameName]: Handler<N> } = {
  hello,
  ping,
  create,
  add,
  remove,
  leave,
  role,
  send,
  fetch,
  sync,
  queue,
  queueAck,
  read,
  open,
}

export type { ClientFrameName, Context, Handler }
