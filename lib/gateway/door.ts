/**
 * Who may connect at all: browsers from listed origins, and not too many connections of one address or in all. The
 * address of a client behind trusted proxies is what they say it is; nobody else is believed.
 */
import { BlockList, isIP } from 'node:net'
import type { GatewayConfig } from './config.ts'
import type { Knock, NoEntry } from './uws.ts'

type DoorConfig = Pick<
  GatewayConfig,
  'origins' | 'trustedProxies' | 'maxSessionsPerAddress' | 'connectRate' | 'connectBurst'
>

/** `address` is the one string that all its sessions share. */
type Visitor = { readonly address: string; count: number; tokens: number; filled: number }

/** Addresses with a history; past that the ones that hold no connection are forgotten. */
const VISITORS = 65_536

const MAPPED = /^(?:0{1,4}:){5}ffff:([0-9a-f]{2})([0-9a-f]{2}):([0-9a-f]{2})([0-9a-f]{2})$/i

/** uWebSockets.js gives IPv6 in full; an IPv4 address in it is shown as itself. */
export const plainAddress = (text: string): string => {
  const mapped = MAPPED.exec(text)
  if (mapped === null) return text
  return mapped
    .slice(1)
    .map((byte) => Number.parseInt(byte, 16))
    .join('.')
}

/** What is counted as one: an IPv4 address, or the /64 that one IPv6 customer has. */
export const networkOf = (address: string): string => {
  if (isIP(address) !== 6) return address
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  if (tail !== undefined) while (groups.length + after.length < 8) groups.push('0')
  const network = [...groups, ...after].slice(0, 4)
  return `${network.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}

/** @throws RangeError when an entry is neither an address nor a range. */
export const proxyList = (entries: readonly string[]): BlockList => {
  const list = new BlockList()
  for (const entry of entries) {
    const [address = '', prefix] = entry.split('/')
    const version = isIP(address)
    if (version === 0) throw new RangeError(`not an address or range: ${entry}`)
    const family = version === 4 ? 'ipv4' : 'ipv6'
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  return list
}

const isTrusted = (list: BlockList, address: string): boolean => {
  const version = isIP(address)
  return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6')
}

/** The last address in the chain that is not a trusted proxy's. */
export const clientAddress = (remote: string, forwardedFor: string, trusted: BlockList): string => {
  let address = plainAddress(remote)
  if (!isTrusted(trusted, address)) return address
  const chain = forwardedFor.split(',').map((entry) => entry.trim())
  for (let i = chain.length - 1; i >= 0; i--) {
    const entry = chain[i]!
    if (isIP(entry) === 0) return address
    address = entry
    if (!isTrusted(trusted, address)) return address
  }
  return address
}

export class Door {
  readonly #config: DoorConfig
  readonly #origins: ReadonlySet<string>
  readonly #trusted: BlockList
  readonly #visitors = new Map<string, Visitor>()
  /** How many were turned away. */
  turnedAway = 0

  constructor(config: DoorConfig) {
    this.#config = config
    this.#origins = new Set(config.origins)
    this.#trusted = proxyList(config.trustedProxies)
  }

  /** `now` in monotonic ms. Whoever is let in must be let `out`. */
  admit(knock: Knock, full: boolean, now: number): { readonly address: string } | NoEntry {
    const refusal = this.#admit(knock, full, now)
    if ('status' in refusal) this.turnedAway++
    return refusal
  }

  #admit(knock: Knock, full: boolean, now: number): { readonly address: string } | NoEntry {
    if (knock.version !== '13') {
      return { status: '426 Upgrade Required', why: 'WebSocket version 13 is spoken here.' }
    }
    // Compared as it stands: an origin is scheme, host and port, and browsers write it in lower case.
    if (knock.origin !== '' && !this.#origins.has(knock.origin) && !this.#origins.has('*')) {
      return { status: '403 Forbidden', why: 'This origin is not allowed.' }
    }
    if (full) return { status: '503 Service Unavailable', why: 'This gateway is full.' }
    const address = networkOf(clientAddress(knock.remote, knock.forwardedFor, this.#trusted))
    const visitor = this.#visitor(address, now)
    if (visitor.count >= this.#config.maxSessionsPerAddress || visitor.tokens < 1) {
      return { status: '429 Too Many Requests', why: 'Too many connections of this address.' }
    }
    visitor.tokens--
    visitor.count++
    return { address: visitor.address }
  }

  out(address: string): void {
    const visitor = this.#visitors.get(address)
    if (visitor !== undefined) visitor.count--
  }

  #visitor(address: string, now: number): Visitor {
    const { connectRate, connectBurst } = this.#config
    let visitor = this.#visitors.get(address)
    if (visitor === undefined) {
      if (this.#visitors.size >= VISITORS) this.#clean()
      visitor = { address, count: 0, tokens: connectBurst, filled: now }
      this.#visitors.set(address, visitor)
    }
    const gained = ((now - visitor.filled) / 1000) * connectRate
    visitor.tokens = Math.min(connectBurst, visitor.tokens + gained)
    visitor.filled = now
    return visitor
  }

  #clean(): void {
    for (const [address, { count }] of this.#visitors) {
      if (count === 0) this.#visitors.delete(address)
    }
  }
}
