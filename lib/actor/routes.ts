/**
 * Which sessions of which gateways a user has, as leased from the user's actor (contracts R2). Without a fresh route
 * a frame goes out on `live.<uid>`, which is always right.
 */
import type { Clock } from '../clock.ts'
import type { GatewayId, UserId } from '../ids.ts'
import type { Handle } from '../protocol/envelopes.ts'
import type { GatewayOutlet, Origin, Outbound } from './outbound.ts'

export type SessionRoute = { readonly gateway: GatewayId; readonly handle: Handle }

type Route = {
  /** Undefined while it is not known: use `live`. */
  sessions: readonly SessionRoute[] | undefined
  expires: number
  asking: boolean
  /** What the actor told while it was being asked: newer than its answer, which may be read later. */
  told: readonly SessionRoute[] | undefined
}

/** Asks a user's actor for its sessions; undefined when it does not know (yet). It tells of changes by itself. */
export type AskRoutes = (user: UserId) => Promise<readonly SessionRoute[] | undefined>

export const LEASE_MS = 10_000
const RENEW_MS = 5_000
const RETRY_MS = 1_000
const MAX_ROUTES = 200_000

export class Routes {
  readonly #routes = new Map<UserId, Route>()
  readonly #max: number
  readonly #ask: AskRoutes
  readonly #clock: Clock
  readonly #outbound: Outbound
  readonly #touched: GatewayOutlet[] = []
  /** Deliveries by handle and by subject since the start. */
  readonly counts = { handles: 0, live: 0 }

  constructor(ask: AskRoutes, outbound: Outbound, clock: Clock, max = MAX_ROUTES) {
    this.#max = max
    this.#ask = ask
    this.#outbound = outbound
    this.#clock = clock
  }

  /** Sends a frame to all sessions of `users` but the one it came from. The frame is written once per gateway. */
  deliver(frame: Uint8Array, users: readonly UserId[], from: Origin | undefined): void {
    const now = this.#clock.monotonic()
    const touched = this.#touched
    for (const user of users) {
      const route = this.#fresh(user, now)
      if (route?.sessions === undefined) {
        this.counts.live++
        this.#outbound.live(user, from, frame)
        continue
      }
      for (const { gateway, handle } of route.sessions) {
        if (from !== undefined && handle === from.handle && gateway === from.gateway) continue
        const outlet = this.#outbound.outlet(gateway)
        if (outlet.handles.length === 0) touched.push(outlet)
        outlet.handles.push(handle)
      }
    }
    for (const outlet of touched) {
      this.counts.handles += outlet.handles.length
      outlet.deliver(frame, outlet.handles)
      outlet.handles.length = 0
    }
    touched.length = 0
  }

  #fresh(user: UserId, now: number): Route | undefined {
    let route = this.#routes.get(user)
    if (route === undefined) {
      if (this.#routes.size >= this.#max) this.#evict(now)
      route = { sessions: undefined, expires: 0, asking: false, told: undefined }
      this.#routes.set(user, route)
    }
    if (now > route.expires) route.sessions = undefined
    if (now > route.expires - RENEW_MS && !route.asking) void this.#renew(user, route)
    return route
  }

  async #renew(user: UserId, route: Route): Promise<void> {
    route.asking = true
    route.told = undefined
    const asked = this.#clock.monotonic()
    // No answer, or an actor that does not know yet: `live` for a while, then ask again.
    const sessions = await this.#ask(user).catch(() => undefined)
    route.asking = false
    if (sessions === undefined) {
      if (this.#clock.monotonic() > route.expires) route.expires = asked + RETRY_MS
      if (route.expires < asked + RENEW_MS) route.expires = asked + RENEW_MS + RETRY_MS
      route.sessions = undefined
    } else {
      route.sessions = route.told ?? sessions
      route.expires = asked + LEASE_MS
    }
  }

  /** The actor says that a user's sessions changed. */
  changed(user: UserId, sessions: readonly SessionRoute[]): void {
    const route = this.#routes.get(user)
    if (route === undefined) return
    if (route.asking) route.told = sessions
    if (route.sessions !== undefined) route.sessions = sessions
  }

  /** A handle was gone (contracts R1): forget the route. */
  drop(user: UserId): void {
    this.#routes.delete(user)
  }

  /** Users whose route holds this session. */
  holders(gateway: GatewayId, handle: Handle): UserId[] {
    const users: UserId[] = []
    for (const [user, route] of this.#routes) {
      if (route.sessions?.some((s) => s.gateway === gateway && s.handle === handle))
        users.push(user)
    }
    return users
  }

  #evict(now: number): void {
    for (const [user, route] of this.#routes) {
      if (now > route.expires && !route.asking) this.#routes.delete(user)
    }
    // All in use: forget the oldest half, they ask again.
    if (this.#routes.size < this.#max) return
    let left = this.#max / 2
    for (const user of this.#routes.keys()) {
      if (left-- === 0) break
      this.#routes.delete(user)
    }
  }
}
