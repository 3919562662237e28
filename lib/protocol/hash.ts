/**
 * A 53-bit hash of a command's bytes without its request number, so that a number used twice with other content is
 * told from a resend (contracts N2, N3). Not cryptographic: who forges a collision fools only their own outbox.
 */
export const hashBytes = (bytes: Uint8Array, from: number, to: number): number => {
  let a = 0x9e3779b9 ^ (to - from)
  let b = 0x85ebca6b
  let i = from
  for (; i + 3 < to; i += 4) {
    const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    a = Math.imul(a ^ word, 0xcc9e2d51)
    b = Math.imul(b ^ ((word << 15) | (word >>> 17)), 0x1b873593)
    a = (a << 13) | (a >>> 19)
    b = (b << 17) | (b >>> 15)
    a = (a + b) | 0
  }
  for (; i < to; i++) {
    a = Math.imul(a ^ bytes[i]!, 0xcc9e2d51)
    b = Math.imul(b ^ a ^ (a >>> 15), 0x1b873593)
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35)
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35)
  return (b & 0x1fffff) * 0x100000000 + (a >>> 0)
}
