/** Envelopes and single commands as they arrive, handed to the actors they are for. */
import type { Bus, Message } from '../bus/bus.ts'
import { refuse } from '../errors.ts'
import { type ActorId, type GatewayId, partitionOf, type RoomId } from '../ids.ts'
import { readFrame } from '../protocol/codec.ts'
import { readToHost, type ToHost } from '../protocol/envelopes.ts'
import { hashBytes } from '../protocol/hash.ts'
import { isSend, readHead, readSend } from '../protocol/hot.ts'
import { BadFrame, Reader } from '../protocol/reader.ts'
import { decodeUserCommand, type UserCommand } from '../protocol/user-commands.ts'
import { sendRefusal } from './answers.ts'
import type { RoomCommand } from './behavior.ts'
import { type Origin, type Outbound, type Outlet, ReplyOutlet } from './outbound.ts'

export type Actors = {
  room(p: number, id: RoomId, origin: Origin, command: RoomCommand): void
  user(p: number, origin: Origin, command: UserCommand): void
  beat(p: number, gateway: GatewayId, item: ToHost & { kind: 'beat' }): void
  lost(gateway: GatewayId, item: ToHost & { kind: 'lost' }): void
  routes(item: ToHost & { kind: 'routes' }): void
  /** An envelope or a frame in it could not be read. */
  unreadable(subject: string, cause: unknown): void
}

const MAX_PLACES = 200_000

/** Ids to partitions, remembered: a hash each would cost more than all else that is done with them. */
export class Places {
  readonly #places = new Map<string, number>()
  readonly #partitions: number
  readonly #bound: number

  constructor(partitions: number, bound = MAX_PLACES) {
    this.#partitions = partitions
    this.#bound = bound
  }

  of(id: ActorId): number {
    let p = this.#places.get(id)
    if (p === undefined) {
      if (this.#places.size >= this.#bound) this.#places.clear()
      p = partitionOf(id, this.#partitions)
      this.#places.set(id, p)
    }
    return p
  }
}

const WRITES = new Set(['create', 'add', 'remove', 'leave', 'role'])
const READS = new Set(['fetch', 'read', 'open'])

export class Intake {
  readonly #actors: Actors
  readonly #outbound: Outbound
  readonly #bus: Bus
  readonly places: Places

  constructor(actors: Actors, outbound: Outbound, bus: Bus, places: Places) {
    this.#actors = actors
    this.#outbound = outbound
    this.#bus = bus
    this.places = places
  }

  /** What came on `h.<incarnation>`, or on an actor's own subject with a reply subject. */
  onMessage(message: Message): void {
    const { subject, reply, data } = message
    const outlet = reply === undefined ? undefined : new ReplyOutlet(this.#bus, reply)
    try {
      readToHost(data, (sender, item) => {
        try {
          this.#item(sender, item, outlet)
        } catch (cause) {
          if (!(cause instanceof BadFrame)) throw cause
          this.#unreadable(subject, sender, item, outlet, cause)
        }
      })
    } catch (cause) {
      this.#actors.unreadable(subject, cause)
    }
  }

  /** One command that can't be read must not take those behind it along: they would be sent again with it. */
  #unreadable(
    subject: string,
    sender: GatewayId,
    item: ToHost,
    outlet: Outlet | undefined,
    cause: BadFrame,
  ): void {
    this.#actors.unreadable(subject, cause)
    if (item.kind !== 'room' && item.kind !== 'user') return
    sendRefusal(this.#origin(sender, item, outlet), 0, refuse('bad_frame', cause.message))
  }

  #item(sender: GatewayId, item: ToHost, outlet: Outlet | undefined): void {
    switch (item.kind) {
      case 'room':
        this.#room(this.#origin(sender, item, outlet), item.frame)
        break
      case 'user':
        this.#actors.user(
          this.places.of(item.user),
          this.#origin(sender, item, outlet),
          decodeUserCommand(item.frame),
        )
        break
      case 'beat':
        this.#actors.beat(this.places.of(item.user), sender, item)
        break
      case 'lost':
        this.#actors.lost(sender, item)
        break
      case 'routes':
        this.#actors.routes(item)
        break
    }
  }

  #origin(
    sender: GatewayId,
    item: ToHost & { kind: 'room' | 'user' },
    outlet: Outlet | undefined,
  ): Origin {
    return {
      outlet: outlet ?? this.#outbound.outlet(sender),
      gateway: outlet === undefined ? sender : undefined,
      token: item.token,
      attempt: item.attempt,
      handle: item.handle,
      user: item.user,
      device: item.device,
    }
  }

  #room(origin: Origin, frame: Uint8Array): void {
    const command = readCommand(frame)
    this.#actors.room(this.places.of(command.room), command.room, origin, command)
  }
}

/** A frame that the gateway has checked, with the hash of what a resend must repeat. @throws BadFrame */
export const readCommand = (frame: Uint8Array): RoomCommand => {
  const reader = new Reader(frame)
  const { length, type } = readHead(reader)
  if (isSend(type)) return readSend(reader, frame, length)
  reader.uint(0xffffffff)
  const afterReq = reader.at
  const command = readFrame(new Reader(frame))
  const name = command.name ?? ''
  if (WRITES.has(name)) {
    return { ...command, hash: hashBytes(frame, afterReq, frame.length) } as RoomCommand
  }
  if (READS.has(name)) return command as RoomCommand
  throw new BadFrame(`frame ${type} is not for a room`)
}
