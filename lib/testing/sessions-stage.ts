/** The sessions of a partition over a fold, with gateways that keep what they are told. */
import type { Test } from 'tap'
import type { UserBehavior } from '../actor/behavior.ts'
import { Fold } from '../actor/fold.ts'
import { type Origin, Outbound } from '../actor/outbound.ts'
import { type DeviceQueues, Sessions } from '../actor/sessions.ts'
import { ParleyError } from '../errors.ts'
import type { DeviceId, GatewayId, Incarnation, UserId } from '../ids.ts'
import { readFrame, readValue } from '../protocol/codec.ts'
import type { Wire } from '../protocol/fields.ts'
import type { Cursor, Pointer } from '../protocol/frames.ts'
import { POINTER } from '../protocol/pointer.ts'
import { Reader } from '../protocol/reader.ts'
import { decodeAdmitted, type UserCommand } from '../protocol/user-commands.ts'
import { eventually } from './eventually.ts'
import { GatewaySink, type Sent } from './gateway-sink.ts'
import { accountOf, inboxMessage, pointerOf, roomId } from './pointers.ts'
import { tempState } from './temp-state.ts'
import { TestClock } from './test-clock.ts'

export const ANN = 'uAnn' as UserId
export const V1 = 'v1' as DeviceId
export const V2 = 'v2' as DeviceId
export const W1 = 'w1' as GatewayId
export const H1 = 'h1' as Incarnation
export const STREAM = 's1'

type Kind<K extends Sent['kind']> = Sent extends infer S
  ? S extends { readonly kind: infer Kinds }
    ? K extends Kinds
      ? S & { readonly kind: K }
      : never
    : never
  : never

type Account = Parameters<typeof accountOf>[2]

export const sessionsStage = async <User>(
  t: Test,
  behavior: UserBehavior<User>,
  queues?: DeviceQueues,
) => {
  const state = await tempState(t)
  const clock = new TestClock()
  const sink = new GatewaySink()
  const outbound = new Outbound('hSelf' as Incarnation, sink.bus, () => {})
  const told: [Incarnation, UserId, number[]][] = []
  /** Answers wait for the lease in here while it is an array. */
  const lease = { waiting: undefined as (() => void)[] | undefined }
  const lineages = { last: 100, fail: false }
  const fold: Fold<User> = new Fold<User>(
    {
      behavior,
      state,
      monotonic: () => clock.monotonic(),
      saveFloor: async () => {},
      folded: (users) => sessions.folded(users),
      storeFailed: () => {},
      poisoned: () => {},
    },
    0,
    0,
  )
  const sessions: Sessions<User> = new Sessions<User>(
    {
      behavior,
      outbound,
      monotonic: () => clock.monotonic(),
      nextLineage: () => {
        if (lineages.fail) throw new ParleyError('unavailable')
        return ++lineages.last
      },
      answer: (_origin, run) => {
        if (lease.waiting === undefined) run()
        else lease.waiting.push(run)
      },
      tell: (host, user, routes) =>
        void told.push([host, user, routes.map(({ handle }) => handle)]),
    },
    fold,
    STREAM,
    queues,
  )
  let token = 0
  let version = 0
  const account = (more: Account = {}) => {
    const data = inboxMessage({
      account: accountOf(ANN, ++version, { tokenGeneration: 3, ...more }),
    })
    fold.onMessage({ position: fold.position + 1, data })
  }
  const pointer = (room: string | number, more: Partial<Pointer> = {}) => {
    const data = inboxMessage({ user: ANN, pointer: pointerOf(roomId(room), ++version, more) })
    fold.onMessage({ position: fold.position + 1, data })
  }
  const originOf = (handle: number, device = V1, gateway = W1): Origin => ({
    outlet: outbound.outlet(gateway),
    gateway,
    token: ++token,
    attempt: 1,
    handle,
    user: ANN,
    device,
  })
  const command = (origin: Origin, given: UserCommand) => {
    sessions.execute(origin, given)
    return origin.token
  }
  const hello = (handle: number, device = V1, cursor: Cursor | null = null, generation = 3) =>
    command(originOf(handle, device), {
      name: 'hello',
      req: 7,
      generation,
      cursor,
      wantsLineage: handle === 1,
    })
  const take = (): Sent[] => {
    outbound.flush()
    return sink.take()
  }
  /** Waits until something of these kinds came; the rest is dropped. */
  const of = <K extends Sent['kind']>(...kinds: readonly K[]) =>
    eventually(kinds.join(' or '), () => {
      const got = take().filter((sent): sent is Kind<K> => kinds.some((kind) => kind === sent.kind))
      return got.length > 0 && got
    })
  const admitted = async (handle: number, device = V1, cursor: Cursor | null = null) => {
    hello(handle, device, cursor)
    const [answer] = await of('final')
    if (answer === undefined) throw new Error('no answer')
    return decodeAdmitted(answer.frame)
  }
  sessions.pulse(clock.monotonic())
  return {
    state,
    clock,
    fold,
    sessions,
    told,
    lease,
    lineages,
    account,
    pointer,
    originOf,
    command,
    hello,
    take,
    of,
    admitted,
  }
}

export const frameOf = (sent: { readonly frame: Uint8Array } | undefined) =>
  readFrame(new Reader(sent!.frame))

export const changesOf = (sent: { readonly frame: Uint8Array } | undefined) => {
  const frame = frameOf(sent)
  if (frame.name !== 'changes') throw new Error(`${frame.name} is no changes`)
  return frame
}

export const roomsOf = (rest: Uint8Array): { cursor: Cursor; rooms: string[] } => {
  const reader = new Reader(rest)
  reader.array()
  const cursor = { stream: reader.str(64), position: reader.uint() }
  reader.bool()
  reader.bool()
  const rooms = Array.from(
    { length: reader.array() },
    () => (readValue(reader, POINTER as unknown as Wire) as Pointer).room,
  )
  return { cursor, rooms }
}
