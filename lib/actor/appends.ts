/** The answers to a host's appends: one standing inbox, a token each, no promise on the message path. */
import type { AppendReply, Nats, Unsubscribe } from '../bus/bus.ts'
import { parseAppendReply } from '../bus/bus.ts'

export type AppendSink = {
  /** Answer for batch `number` of epoch `epoch` of partition `p`. */
  log(p: number, epoch: number, number: number, attempt: number, reply: AppendReply): void
  /** Answer for pointer batch `batch` to inbox partition `p`. */
  inbox(p: number, batch: number, reply: AppendReply): void
}

const ANSWER_MS = 1000

export class Appends {
  readonly #nats: Nats
  readonly #prefix: string
  readonly #close: Unsubscribe
  readonly #waiting = new Map<string, (reply: AppendReply | undefined) => void>()
  #once = 0

  constructor(nats: Nats, sink: AppendSink) {
    this.#nats = nats
    const { prefix, close } = nats.inbox((rest, message) => {
      const reply = parseAppendReply(message)
      const [kind, ...token] = rest.split('.')
      if (kind === 'l') {
        const [p, epoch, number, attempt] = token.map(Number)
        sink.log(p!, epoch!, number!, attempt!, reply)
      } else if (kind === 'i') {
        const [p, batch] = token.map(Number)
        sink.inbox(p!, batch!, reply)
      } else {
        this.#waiting.get(rest)?.(reply)
      }
    })
    this.#prefix = prefix
    this.#close = close
  }

  log(
    subject: string,
    p: number,
    epoch: number,
    bytes: Uint8Array,
    expected: number,
    number: number,
    attempt: number,
  ): void {
    const reply = `${this.#prefix}.l.${p}.${epoch}.${number}.${attempt}`
    this.#nats.streams.append(subject, bytes, expected, reply)
  }

  inbox(subject: string, p: number, bytes: Uint8Array, batch: number): void {
    this.#nats.streams.append(subject, bytes, undefined, `${this.#prefix}.i.${p}.${batch}`)
  }

  /** Waits for the answer; undefined when none came in a second. Cold paths. */
  once(
    subject: string,
    bytes: Uint8Array,
    expected: number | undefined,
  ): Promise<AppendReply | undefined> {
    const token = `o.${++this.#once}`
    return new Promise((resolve) => {
      const done = (reply: AppendReply | undefined) => {
        clearTimeout(timer)
        this.#waiting.delete(token)
        resolve(reply)
      }
      const timer = setTimeout(done, ANSWER_MS, undefined)
      this.#waiting.set(token, done)
      this.#nats.streams.append(subject, bytes, expected, `${this.#prefix}.${token}`)
    })
  }

  close(): void {
    this.#close()
  }
}
