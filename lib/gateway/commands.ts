/** From a session to the actors: which partition, which actor, and what to do with the answer. */
import type { Clock } from '../clock.ts'
import { type Refusal, refuse } from '../errors.ts'
import type { RoomId } from '../ids.ts'
import { encodeUserCommand, type UserCommand } from '../protocol/user-commands.ts'
import type { PartitionCache } from './partitions.ts'
import { PURPOSE, TARGET } from './pending.ts'
import type { Router } from './router.ts'
import type { Session } from './session.ts'

export type CommandsDeps = {
  readonly router: Router
  readonly partitions: PartitionCache
  readonly clock: Clock
  /** Durable queues are served here. */
  readonly queues: boolean
  readonly refuse: (session: Session, req: number, refusal: Refusal) => void
}

export class Commands {
  readonly #deps: CommandsDeps

  constructor(deps: CommandsDeps) {
    this.#deps = deps
  }

  readonly toRoom = (session: Session, room: RoomId, req: number, frame: Uint8Array): void => {
    const { router, partitions, refuse } = this.#deps
    const p = partitions.of(room)
    const now = session.heard
    const refusal = router.submit(session, p, TARGET.room, PURPOSE.reply, req, frame, now)
    if (refusal !== undefined) refuse(session, req, refusal)
  }

  readonly toUser = (session: Session, req: number, command: UserCommand): void =>
    this.#toActor(session, req, command, PURPOSE.reply)

  /** Asks for the device's durable queue, or gives it up. */
  readonly toQueue = (session: Session, req: number, on: boolean): void => {
    if (this.#deps.queues) {
      const purpose = on ? PURPOSE.queueOn : PURPOSE.queueOff
      this.#toActor(session, req, { name: 'queue', req, on }, purpose)
    } else this.#deps.refuse(session, req, NO_QUEUES)
  }

  #toActor(session: Session, req: number, command: UserCommand, purpose: number): void {
    const { router, refuse } = this.#deps
    const p = session.partition
    const frame = encodeUserCommand(command)
    const refusal = router.submit(session, p, TARGET.user, purpose, req, frame, session.heard)
    if (refusal !== undefined) refuse(session, req, refusal)
  }

  /** For a durable queue, as if its device had asked. */
  readonly fetch = (
    session: Session,
    ticket: number,
    room: RoomId,
    frame: Uint8Array,
  ): Refusal | undefined => {
    const { router, partitions, clock } = this.#deps
    const p = partitions.of(room)
    const now = clock.monotonic()
    return router.submit(session, p, TARGET.room, PURPOSE.events, ticket, frame, now)
  }
}

const NO_QUEUES = refuse('limit', 'No durable queues here: use cursor sync.')
