/**
 * The durable queues of a partition's users (contracts I5): which devices have one, what of the inbox goes into them,
 * and up to where it is in them, so that a pointer counts as folded only when it is.
 *
 * Owns: the list of users with queues (a row of the partition), one `QueueDevice` for each device.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { DeviceId, UserId } from '../ids.ts'
import { type AccountRecord, decodeAccount } from '../protocol/account.ts'
import type { InboxEntry } from '../protocol/inbox.ts'
import { pointerHead } from '../protocol/queue-entries.ts'
import type { StateStore, UserRow } from '../store/state/state.ts'
import { QueueDevice, type QueuePort } from './queue-device.ts'
import { decodeRow, decodeUsers, deviceOf, encodeUsers, TAKEOVER } from './queue-row.ts'
import { entryOf, isPointer } from './user-row.ts'

type Pointer = { readonly after: number; readonly pointer: Uint8Array }

type QueueUser = {
  readonly id: UserId
  readonly devices: Map<DeviceId, QueueDevice>
  /** Newest event of each room that was told of. */
  readonly heads: Map<string, number>
  /** Of the newest account record seen here. */
  account: AccountRecord | undefined
  /** Pointers of the message that is being folded. */
  pointers: Pointer[]
  /** Queues that are being made. */
  starting: number
}

/** Entries that may wait before the inbox is left waiting. */
const MAX_WAITING = 50_000
const AT_ONCE = 16

const indexName = (p: number): string => `queues.${p}`

export class Queues {
  readonly #p: number
  readonly #epoch: number
  readonly #port: QueuePort
  readonly #state: StateStore
  readonly #signal: AbortSignal
  readonly #users = new Map<UserId, QueueUser>()
  readonly #touched = new Set<QueueUser>()
  /** Where entries may wait: asked about for each message of the inbox. */
  readonly #busy = new Set<QueueDevice>()
  #indexRev = 0
  #loadedRev = 0
  #indexing: Promise<void> = Promise.resolve()

  /** `signal` ends with the partition. */
  constructor(p: number, epoch: number, port: QueuePort, state: StateStore, signal: AbortSignal) {
    this.#p = p
    this.#epoch = epoch
    this.#port = port
    this.#state = state
    this.#signal = signal
  }

  /** Reads which users have queues, and their rows: before anything is folded. @throws ParleyError unavailable */
  async load(): Promise<void> {
    const index = await this.#state.partition(indexName(this.#p))
    this.#loadedRev = index?.position ?? 0
    this.#indexRev = index === undefined ? 0 : index.position + TAKEOVER
    const users = index === undefined ? [] : decodeUsers(index.value)
    for (let i = 0; i < users.length; i += AT_ONCE) {
      await Promise.all(users.slice(i, i + AT_ONCE).map((id) => this.#loadUser(id)))
    }
  }

  /**
   * False when queues were given or taken away since they were loaded. To be asked for once no former owner can answer
   * its devices any more. @throws ParleyError unavailable
   */
  async unchanged(): Promise<boolean> {
    const index = await this.#state.partition(indexName(this.#p))
    return (index?.position ?? 0) === this.#loadedRev
  }

  async #loadUser(id: UserId): Promise<QueueUser> {
    const rows = await this.#state.user(id)
    const known = this.#users.get(id)
    if (known !== undefined) return known
    const user: QueueUser = {
      id,
      devices: new Map(),
      heads: new Map(),
      account: undefined,
      pointers: [],
      starting: 0,
    }
    for (const row of rows) {
      const device = deviceOf(row.key)
      if (device !== undefined) user.devices.set(device, this.#device(id, device, row))
      else if (isPointer(row.key)) user.heads.set(row.key, headOf(row))
    }
    this.#users.set(id, user)
    return user
  }

  #device(user: UserId, device: DeviceId, row: UserRow | undefined): QueueDevice {
    const stored = row === undefined ? undefined : decodeRow(row.value)
    return new QueueDevice(this.#port, user, device, this.#epoch, stored, this.#signal)
  }

  /** Users that are kept in memory for their queues. */
  get users(): number {
    return this.#users.size
  }

  /** True when the device has a queue. */
  has(user: UserId, device: DeviceId): boolean {
    return this.#users.get(user)?.devices.get(device)?.on === true
  }

  /** Gives a device a queue of what is folded from now on; `folded` tells up to where it is. @throws ParleyError limit, unavailable */
  async start(id: UserId, device: DeviceId, folded: () => number): Promise<void> {
    const user = this.#users.get(id) ?? (await this.#loadUser(id))
    let queue = user.devices.get(device)
    if (queue === undefined) {
      queue = this.#device(id, device, undefined)
      user.devices.set(device, queue)
    }
    user.starting++
    try {
      // An owner that does not know of the user would fold without queueing.
      await this.#saveIndex()
      await queue.start(folded)
    } finally {
      user.starting--
    }
    if (isRemoved(user.account, device)) await queue.end()
  }

  /** Takes a device's queue away. @throws ParleyError unavailable */
  async end(user: UserId, device: DeviceId): Promise<void> {
    const queue = this.#users.get(user)?.devices.get(device)
    if (queue === undefined || queue.off) return
    await queue.end()
    // The next owner may have read the row already: the list tells it to read again.
    await this.#saveIndex()
  }

  /** One entry of the inbox message that is being folded. */
  entry(entry: InboxEntry): void {
    if (entry.kind === 'marker' || this.#users.size === 0) return
    const user = this.#users.get(entry.user)
    if (user === undefined) return
    if (entry.kind === 'account') {
      this.#account(user, decodeAccount(entry.account))
      return
    }
    const { room, head } = pointerHead(entry.pointer)
    const known = user.heads.get(room) ?? 0
    user.heads.set(room, Math.max(head, known))
    user.pointers.push({ after: Math.min(known, head), pointer: entry.pointer })
    this.#touched.add(user)
  }

  #account(user: QueueUser, account: AccountRecord): void {
    if (user.account !== undefined && user.account.version > account.version) return
    user.account = account
    for (const queue of user.devices.values()) {
      if (isRemoved(account, queue.device)) queue.endSoon()
    }
  }

  /** The message at `position` has been read to its end. */
  message(position: number): void {
    for (const user of this.#touched) {
      for (const queue of user.devices.values()) {
        queue.push(position, user.pointers)
        this.#busy.add(queue)
      }
      user.pointers = []
    }
    this.#touched.clear()
  }

  /** Inbox position up to which everything is in the queues. */
  get safe(): number {
    let safe = Number.POSITIVE_INFINITY
    for (const queue of this.#all()) safe = Math.min(safe, queue.safe)
    return safe
  }

  /** The same for the queues of one user. */
  safeFor(user: UserId): number {
    let safe = Number.POSITIVE_INFINITY
    for (const queue of this.#users.get(user)?.devices.values() ?? [])
      safe = Math.min(safe, queue.safe)
    return safe
  }

  /** True when the inbox should be left waiting: the queues take nothing. */
  get full(): boolean {
    let waiting = 0
    for (const queue of this.#busy) {
      if (queue.waiting === 0) this.#busy.delete(queue)
      waiting += queue.waiting
    }
    return waiting > MAX_WAITING
  }

  /** True when everything folded is in the queues and all rows are stored. */
  get drained(): boolean {
    for (const queue of this.#all()) if (queue.waiting > 0 || queue.dirty) return false
    return true
  }

  get dirty(): boolean {
    for (const queue of this.#all()) if (queue.dirty) return true
    return false
  }

  /** Rows to be stored together with the inbox floor; call `stored` when they are. */
  take(): { rows: UserRow[]; stored: () => void } {
    const taken = [...this.#all()].filter((queue) => queue.dirty).map((queue) => queue.take())
    return {
      rows: taken.map(({ row }) => row),
      stored: () => {
        for (const one of taken) one.stored()
      },
    }
  }

  /** Every few seconds. */
  pulse(): void {
    for (const user of this.#users.values()) {
      for (const queue of user.devices.values()) queue.pulse()
      // Read again when one of their devices asks for a queue.
      if (!isWanted(user)) this.#users.delete(user.id)
    }
  }

  *#all(): Generator<QueueDevice> {
    for (const user of this.#users.values()) yield* user.devices.values()
  }

  /** Users that had a queue and have none stay until the next change of the list. */
  #saveIndex(): Promise<void> {
    const save = async () => {
      const users = [...this.#users.values()].filter(isWanted)
      const rev = Math.max(this.#indexRev + 1, this.#epoch)
      const bytes = encodeUsers(users.map(({ id }) => id))
      await this.#state.savePartition(indexName(this.#p), rev, bytes)
      this.#indexRev = rev
    }
    this.#indexing = this.#indexing.catch(() => undefined).then(save)
    return this.#indexing
  }
}

/** Reads them for an owner that starts, however long that takes: without them nothing may be folded. */
export const loadQueues = async (queues: Queues, signal: AbortSignal): Promise<void> => {
  for (let backoff = 50; ; backoff = Math.min(2 * backoff, 1000)) {
    signal.throwIfAborted()
    try {
      await queues.load()
      return
    } catch {
      await pause(backoff, undefined, { signal })
    }
  }
}

const isWanted = ({ devices, starting }: QueueUser): boolean =>
  starting > 0 || [...devices.values()].some((queue) => !queue.off || queue.dirty)

const isRemoved = (account: AccountRecord | undefined, device: DeviceId): boolean =>
  account !== undefined &&
  (!account.exists || account.devices.some((one) => one.removed && one.device === device))

/** Of a stored pointer: its inbox position comes first (fold.ts). */
const headOf = (row: UserRow): number => pointerHead(entryOf(row).value).head
