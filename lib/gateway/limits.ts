/**
 * Token buckets of a device, for frames and for bytes. They fill with time up to their burst and may be overdrawn:
 * what comes meanwhile is refused with the time to wait, and an overdraft as large as the burst is a flood.
 * A device that connects again finds its bucket as empty as it left it, its overdraft forgiven.
 */
import type { DeviceId } from '../ids.ts'
import type { GatewayConfig } from './config.ts'
import type { Session } from './session.ts'

type Bucket = { readonly frames: number; readonly bytes: number; readonly filled: number }
type Rates = Pick<GatewayConfig, 'frameRate' | 'frameBurst' | 'byteRate' | 'byteBurst'>

/** Devices whose buckets are remembered after they have left; past that the older half is forgotten. */
const REMEMBERED = 8192

export const FLOOD = Number.POSITIVE_INFINITY

export class Limits {
  readonly #rates: Rates
  #young = new Map<DeviceId, Bucket>()
  #old = new Map<DeviceId, Bucket>()

  constructor(rates: Rates) {
    this.#rates = rates
  }

  /** Takes the bytes of a message, after filling both buckets; `now` in monotonic ms. */
  message(session: Session, bytes: number, now: number): void {
    const { frameRate, frameBurst, byteRate, byteBurst } = this.#rates
    const seconds = (now - session.filled) / 1000
    session.filled = now
    session.frames = Math.min(frameBurst, session.frames + seconds * frameRate)
    session.bytes = Math.min(byteBurst, session.bytes + seconds * byteRate) - bytes
  }

  /** Takes one frame: 0 when it may pass, else how many ms to wait, or FLOOD. */
  frame(session: Session): number {
    const frames = --session.frames
    const { bytes } = session
    if (frames >= 0 && bytes >= 0) return 0
    const { frameRate, frameBurst, byteRate, byteBurst } = this.#rates
    if (frames < -frameBurst || bytes < -byteBurst) return FLOOD
    // The frame that comes again costs one, too.
    return Math.max(1, ((1 - frames) / frameRate) * 1000, (-bytes / byteRate) * 1000)
  }

  /** Gives a new connection full buckets. */
  start(session: Session): void {
    session.frames = this.#rates.frameBurst
    session.bytes = this.#rates.byteBurst
  }

  /** Takes from a session what its device had used up before, now that the device is known. */
  recall(session: Session, now: number): void {
    const left = this.#young.get(session.device) ?? this.#old.get(session.device)
    if (left === undefined) return
    const seconds = (now - left.filled) / 1000
    const frames = left.frames + seconds * this.#rates.frameRate
    const bytes = left.bytes + seconds * this.#rates.byteRate
    session.frames = Math.min(session.frames, Math.max(0, frames))
    session.bytes = Math.min(session.bytes, Math.max(0, bytes))
  }

  /** Remembers the bucket of a session that ends, unless it is nearly full. */
  remember(session: Session): void {
    const { frames, bytes, filled } = session
    const { frameBurst, byteBurst } = this.#rates
    if (frames > frameBurst * 0.9 && bytes > byteBurst * 0.9) {
      this.#young.delete(session.device)
      this.#old.delete(session.device)
      return
    }
    if (this.#young.size >= REMEMBERED) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(session.device, { frames, bytes, filled })
  }
}
