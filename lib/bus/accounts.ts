/** Account records on their way to the user actors: into `inbox.<p>`, until JetStream has them (contracts I6). */
import { ParleyError } from '../errors.ts'
import { partitionOf } from '../ids.ts'
import { type AccountRecord, encodeAccount } from '../protocol/account.ts'
import { writeAccountEntry } from '../protocol/inbox.ts'
import { Writer } from '../protocol/writer.ts'
import { inboxSubject } from '../subjects.ts'
import { type AppendReply, type Nats, parseAppendReply } from './bus.ts'

const ANSWER_MS = 2000

export type AccountPublisher = {
  /** Resolves when the record is stored. @throws ParleyError unavailable; it may be stored nevertheless */
  publish(record: AccountRecord): Promise<void>
  close(): void
}

export const accountPublisher = (nats: Nats, partitions: number): AccountPublisher => {
  const waiting = new Map<string, (reply: AppendReply) => void>()
  let count = 0
  const { prefix, close } = nats.inbox((token, message) =>
    waiting.get(token)?.(parseAppendReply(message)),
  )

  const append = (subject: string, bytes: Uint8Array): Promise<AppendReply> => {
    const token = String(++count)
    return new Promise((resolve) => {
      const done = (reply: AppendReply) => {
        clearTimeout(timer)
        waiting.delete(token)
        resolve(reply)
      }
      const none = { ok: false, code: 0, last: undefined, text: 'no reply' } as const
      const timer = setTimeout(done, ANSWER_MS, none)
      waiting.set(token, done)
      nats.streams.append(subject, bytes, undefined, `${prefix}.${token}`)
    })
  }

  return {
    publish: async (record) => {
      const { user, version } = record
      const entry = writeAccountEntry(new Writer(256), user, version, encodeAccount(record)).take()
      const reply = await append(inboxSubject(partitionOf(user, partitions)), entry)
      if (!reply.ok) throw new ParleyError('unavailable', { detail: reply.text })
    },
    close,
  }
}
