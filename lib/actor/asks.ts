/** What a room's host asks of users' actors: routes and permits, of its own partitions or over NATS. */
import type { Nats } from '../bus/bus.ts'
import { errorByNumber, ParleyError, type Refusal, refuse } from '../errors.ts'
import type { DeviceId, GatewayId, Incarnation, UserId } from '../ids.ts'
import { readFrame, readValue } from '../protocol/codec.ts'
import { writeRoomCommand } from '../protocol/envelopes.ts'
import type { Wire } from '../protocol/fields.ts'
import { Reader } from '../protocol/reader.ts'
import { encodeUserCommand, ROUTES, type UserCommand } from '../protocol/user-commands.ts'
import { Writer } from '../protocol/writer.ts'
import { userSubject } from '../subjects.ts'
import type { Places } from './intake.ts'
import type { SessionRoute } from './routes.ts'

const ASK_MS = 2000

export class Asks {
  readonly #nats: Nats
  readonly #incarnation: Incarnation
  readonly #places: Places

  constructor(nats: Nats, incarnation: Incarnation, places: Places) {
    this.#nats = nats
    this.#incarnation = incarnation
    this.#places = places
  }

  /** @throws ParleyError unavailable */
  async #ask(user: UserId, command: UserCommand): Promise<Uint8Array> {
    const writer = new Writer().str(this.#incarnation)
    const stamp = { handle: 0, user, device: 'vhost' as DeviceId }
    writeRoomCommand(writer, 'user', 0, 0, stamp, encodeUserCommand(command))
    return this.#nats.request(userSubject(this.#places.of(user), user), writer.take(), ASK_MS)
  }

  async routes(user: UserId): Promise<readonly SessionRoute[] | undefined> {
    const bytes = await this.#ask(user, { name: 'routes', incarnation: this.#incarnation })
    const routes = readValue(new Reader(bytes), ROUTES as unknown as Wire) as {
      known: boolean
      sessions: { gateway: GatewayId; handle: number }[]
    }
    return routes.known ? routes.sessions : undefined
  }

  /** Both must agree: the other side to be written to, and the asker to write (a block works both ways). */
  async permit(user: UserId, peer: UserId): Promise<'granted' | Refusal> {
    const answers = await Promise.all([this.#mayDm(peer, user), this.#mayDm(user, peer)])
    return answers.find((answer) => answer !== 'granted') ?? 'granted'
  }

  async #mayDm(user: UserId, from: UserId): Promise<'granted' | Refusal> {
    const answer = readFrame(new Reader(await this.#ask(user, { name: 'mayDm', from })))
    if (answer.name === 'ok') return 'granted'
    if (answer.name === 'error') {
      return refuse(errorByNumber(answer.code), answer.detail, answer.retryAfter)
    }
    throw new ParleyError('internal', { detail: `a user's actor answered ${String(answer.name)}` })
  }
}
