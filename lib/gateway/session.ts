import type { DeviceId, UserId } from '../ids.ts'
import type { Handle } from '../protocol/envelopes.ts'
import type { Outbox } from './outbox.ts'
import { type Action, type SessionEvent, type State, TABLE } from './states.ts'
import type { Identity } from './verifier.ts'

/** What a session needs of its socket; uws.ts gives it. After `end`, `close` or the close callback it is not touched. */
export type Socket = {
  /** 1 written, 0 partly kept back until it drains, 2 thrown away. */
  send(bytes: Uint8Array, isBinary: boolean): number
  /** Says why, then closes. */
  end(code: number, reason: string): void
  getBufferedAmount(): number
}

/** Times are of the monotonic clock, ms. */
export class Session {
  readonly handle: Handle
  readonly socket: Socket
  /** Of the client, as far as it can be known. */
  readonly address: string
  readonly outbox: Outbox
  state: State = 'opening'
  /** Known from `asking` on. */
  user: UserId = '' as UserId
  device: DeviceId = '' as DeviceId
  /** Token generation that it was admitted with. */
  generation = 0
  /** Partition of the user's actor. */
  partition = 0
  /** Inbox position that the device was brought to (contracts R3), and the stream it counts in. */
  position = 0
  stream = ''
  /** Request number of the hello, the lineage that it named, and whom its token speaks for; until the welcome. */
  helloReq = 0
  lineage: number | null = null
  identity: Identity | undefined
  /** Frames that came for it before its welcome. */
  early: Uint8Array[] | undefined
  earlyBytes = 0
  /** The outbox is in the list of this loop turn. */
  dirty = false
  /** Commands without a reply. */
  inFlight = 0
  opened: number
  /** When its last frame came. */
  heard: number
  /** Token buckets (limits.ts) and when they were filled. */
  frames = 0
  bytes = 0
  filled: number

  constructor(handle: Handle, socket: Socket, address: string, outbox: Outbox, now: number) {
    this.handle = handle
    this.socket = socket
    this.address = address
    this.outbox = outbox
    this.opened = now
    this.heard = now
    this.filled = now
  }

  /** Lets an event happen: the state follows the table, the caller does the action. */
  step(event: SessionEvent): Action {
    const next = TABLE[this.state][event]
    this.state = next.state
    return next.action
  }
}
