/** A host that does what a test scripts: speaks the envelopes, decides nothing. */
import type { Message, Nats } from '../../bus/bus.ts'
import { type Owner, toJson } from '../../bus/cluster.ts'
import { type GatewayId, type Incarnation, newIncarnation } from '../../ids.ts'
import { encodeFrame, readFrame } from '../../protocol/codec.ts'
import {
  type Handle,
  readToHost,
  type ToHost,
  writeDeliver,
  writeKick,
  writeMoved,
  writePointers,
  writeReply,
} from '../../protocol/envelopes.ts'
import { writeEvent } from '../../protocol/hot.ts'
import { Reader } from '../../protocol/reader.ts'
import { decodeUserCommand, encodeAdmitted } from '../../protocol/user-commands.ts'
import { Writer } from '../../protocol/writer.ts'
import { gatewaySubject, hostSubject } from '../../subjects.ts'

export type Item = ToHost & { readonly gateway: GatewayId }
export type Command = Extract<Item, { kind: 'room' | 'user' }>

export const isCommand = (item: Item): item is Command =>
  item.kind === 'room' || item.kind === 'user'

/** What follows the lineage in an admission: cursor, full, more, changes. */
export const admittedRest = (position: number, stream = 's1'): Uint8Array =>
  new Writer().array(2).str(stream).uint(position).bool(true).bool(false).array(0).take()

export class ScriptedHost {
  readonly incarnation: Incarnation = newIncarnation()
  /** Everything that came, in order; frames are copies. */
  readonly items: Item[] = []
  readonly #nats: Nats
  readonly #stop: () => void
  /** What to do with each item; by default hellos are admitted and sends acked. */
  onItem: (item: Item, host: ScriptedHost) => void = (item, host) => host.usual(item)
  position = 1
  seq = 0

  constructor(nats: Nats) {
    this.#nats = nats
    this.#stop = nats.subscribe(hostSubject(this.incarnation), (message) => this.#take(message))
  }

  stop(): void {
    this.#stop()
  }

  get commands(): Command[] {
    return this.items.filter(isCommand)
  }

  /** Says in KV `owners` that this host serves the partitions. */
  async own(partitions: readonly number[], epoch: number, state: Owner['state'] = 'serving') {
    const owners = await this.#nats.bucket('owners')
    const owner: Owner = { epoch, incarnation: this.incarnation, host: 'test', state }
    for (const p of partitions) await owners.put(String(p), toJson(owner))
  }

  #take(message: Message): void {
    readToHost(message.data, (gateway, item) => {
      const kept: Item =
        'frame' in item ? { ...item, frame: item.frame.slice(), gateway } : { ...item, gateway }
      this.items.push(kept)
      this.onItem(kept, this)
    })
  }

  usual(item: Item): void {
    if (item.kind === 'user' && item.token !== 0) {
      const command = decodeUserCommand(item.frame)
      if (command.name === 'hello') this.admit(item)
      else if (command.name === 'sync') {
        const cursor = { stream: 's1', position: this.position }
        const none = { cursor, full: false, more: false, changes: [] }
        this.final(item, encodeFrame('changes', { req: command.req, ...none }))
      } else if ('req' in command) this.final(item, encodeFrame('ok', { req: command.req }))
    } else if (item.kind === 'room') {
      const frame = readFrame(new Reader(item.frame))
      if (frame.name === 'send') this.ack(item)
      else if (frame.name !== undefined && 'req' in frame) {
        this.final(item, encodeFrame('ok', { req: frame.req }))
      }
    }
  }

  admit(item: Command, lineage = 77, queue = false): void {
    const rest = admittedRest(this.position)
    this.final(item, encodeAdmitted({ lineage, queue, rest }))
  }

  /** Acks a send with the next seq. */
  ack(item: Command): void {
    const frame = readFrame(new Reader(item.frame))
    if (frame.name !== 'send') throw new Error(`not a send: ${frame.name}`)
    const seq = ++this.seq
    this.final(item, encodeFrame('ack', { req: frame.req, seq, id: BigInt(seq), time: 1000 + seq }))
  }

  final(item: Command, frame: Uint8Array): void {
    this.#publish(item.gateway, (writer) =>
      writeReply(writer, 'final', item.token, item.attempt, frame),
    )
  }

  later(item: Command, frame: Uint8Array): void {
    this.#publish(item.gateway, (writer) =>
      writeReply(writer, 'later', item.token, item.attempt, frame),
    )
  }

  moved(item: Command): void {
    this.#publish(item.gateway, (writer) => writeMoved(writer, item.token, item.attempt))
  }

  deliver(gateway: GatewayId, handles: readonly Handle[], frame: Uint8Array): void {
    this.#publish(gateway, (writer) => writeDeliver(writer, frame, handles))
  }

  pointers(
    gateway: GatewayId,
    handles: readonly Handle[],
    position: number,
    frame: Uint8Array,
  ): void {
    this.#publish(gateway, (writer) => writePointers(writer, position, frame, handles))
  }

  kick(gateway: GatewayId, handles: readonly Handle[], code: number): void {
    this.#publish(gateway, (writer) => writeKick(writer, code, handles))
  }

  #publish(gateway: GatewayId, write: (writer: Writer) => void): void {
    const writer = new Writer().str(this.incarnation)
    write(writer)
    this.#nats.publish(gatewaySubject(gateway), writer.take())
  }
}

/** An event frame of a message. */
export const eventFrame = (room: string, seq: number, text: string): Uint8Array =>
  writeEvent(new Writer(), {
    room: room as never,
    seq,
    ord: seq,
    id: BigInt(seq),
    time: 1000 + seq,
    sender: 'uSender' as never,
    type: 1,
    body: new Writer().array(1).str(text).take(),
  }).take()
