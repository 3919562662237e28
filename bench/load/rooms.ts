/** Makes the rooms of a load by the protocol: a dm by its first message, a group by `create`. */
import { dmId, newGroupId, type RoomId } from '../../lib/ids.ts'
import type { Device } from './device.ts'
import { inTurns } from './in-turns.ts'
import { Lane } from './lane.ts'
import type { Load } from './load.ts'
import type { RoomPlan } from './plan.ts'
import { RoomView } from './room-view.ts'
import { SendFrame } from './send-frame.ts'

const AT_ONCE = 64

export const openRooms = (load: Load, plans: readonly RoomPlan[]): Promise<void> =>
  inTurns(plans, AT_ONCE, (plan) =>
    plan.kind === 'dm' ? openDm(load, plan) : openGroup(load, plan),
  )

const devicesOf = (load: Load, indexes: readonly number[]): Device[] =>
  indexes.map((index) => load.devices[index]!)

const addViews = (load: Load, room: RoomId, devices: readonly Device[]): void => {
  const check = load.check.room(room)
  for (const device of devices) {
    load.addView(new RoomView(room, check, check.reader(device.user.device)), device)
  }
}

const addLane = (
  load: Load,
  room: RoomId,
  sender: Device,
  join: number,
  peer: Device | undefined,
  created?: { seq: number; id: bigint },
): void => {
  const check = load.check.room(room)
  const lineage = sender.lineage!
  const view = sender.views.find((one) => one.room === room)!
  const outbox = check.outbox(`${sender.user.user}/${lineage}`, view.reader)
  if (created !== undefined) {
    outbox.sent(1)
    outbox.acked(1, created.seq, created.id)
  }
  const index = load.lanes.length
  const frame = new SendFrame({
    room,
    lineage,
    join,
    textBytes: load.plan.textBytes,
    peer: peer === undefined ? null : peer.user.user,
    lane: index,
  })
  load.addLane(new Lane(index, view, frame, outbox, created === undefined ? 0 : 1), sender)
}

const openDm = async (load: Load, plan: RoomPlan): Promise<void> => {
  const devices = devicesOf(load, plan.members)
  const [a, b] = devices as [Device, Device]
  const room = dmId(a.user.user, b.user.user)
  addViews(load, room, devices)
  for (const sender of devicesOf(load, plan.senders)) {
    addLane(load, room, sender, 0, sender === a ? b : a)
  }
}

const openGroup = async (load: Load, plan: RoomPlan): Promise<void> => {
  const room = newGroupId()
  const devices = devicesOf(load, plan.members)
  const [owner, ...others] = devices as [Device, ...Device[]]
  addViews(load, room, devices)
  const created = await owner.ask('create', {
    room,
    lineage: owner.lineage!,
    join: 0,
    n: 1,
    low: 1,
    title: 'bench',
    openHistory: false,
    members: others.map((device) => device.user.user),
  })
  if (created.name !== 'ack') throw new Error(`a ${created.name} for a created group`)
  const senders = devicesOf(load, plan.senders)
  if (!senders.includes(owner)) load.check.room(room).foreign(created.seq)
  for (const sender of senders) {
    if (sender === owner) {
      addLane(load, room, sender, 0, undefined, created)
      continue
    }
    const info = await sender.ask('open', { room, peer: null, lineage: sender.lineage })
    if (info.name !== 'info') throw new Error(`a ${info.name} for a room`)
    addLane(load, room, sender, info.join, undefined)
  }
}
