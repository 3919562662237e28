/** The client's side of WebSocket (RFC 6455), as much of it as a load generator needs. */
import { createHash, randomBytes } from 'node:crypto'

export const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** Longest header of a frame from a client: 2 bytes, 8 of length, 4 of mask. */
export const MOST_HEADER = 14

export const newKey = (): string => randomBytes(16).toString('base64')

export const acceptOf = (key: string): string =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')

export const upgradeRequest = (host: string, port: number, key: string): string =>
  [
    'GET / HTTP/1.1',
    `Host: ${host}:${port}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${key}`,
    'Sec-WebSocket-Version: 13',
    '',
    '',
  ].join('\r\n')

/** Why the server's answer to `key` opens no WebSocket; undefined when it does. */
export const refusalOf = (head: string, key: string): string | undefined => {
  const [status = '', ...lines] = head.split('\r\n')
  if (!/^HTTP\/1\.1 101\b/.test(status)) return `the server answered "${status}"`
  const accept = lines.find((line) => /^sec-websocket-accept:/i.test(line))
  const value = accept?.slice(accept.indexOf(':') + 1).trim()
  return value === acceptOf(key) ? undefined : 'the server answered another key'
}

/**
 * The header of a whole message of `length` bytes, masked as a client's must be. The mask is 0, which leaves the
 * payload as it is: the server unmasks all the same, the generator need not.
 */
export const writeHeader = (
  into: Uint8Array,
  at: number,
  length: number,
  opcode: number = OPCODE.binary,
): number => {
  let next = at
  into[next++] = 0x80 | opcode
  if (length < 126) into[next++] = 0x80 | length
  else if (length <= 0xffff) {
    into[next++] = 0x80 | 126
    into[next++] = length >>> 8
    into[next++] = length & 0xff
  } else {
    into[next++] = 0x80 | 127
    for (let shift = 56; shift >= 0; shift -= 8) {
      into[next++] = shift >= 32 ? 0 : (length >>> shift) & 0xff
    }
  }
  into[next] = into[next + 1] = into[next + 2] = into[next + 3] = 0
  return next + 4
}
