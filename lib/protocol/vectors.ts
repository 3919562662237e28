/**
 * Bytes that every implementation of the protocol must write and read: written down by hand, not by the code that
 * they test. PROTOCOL.md shows them.
 */

/** Integers at the borders of their forms (contracts W2). */
export const INTEGERS: readonly (readonly [value: number, hex: string])[] = [
  [0, '00'],
  [1, '01'],
  [2 ** 7 - 1, '7f'],
  [2 ** 7, 'cc80'],
  [2 ** 7 + 1, 'cc81'],
  [2 ** 8 - 1, 'ccff'],
  [2 ** 8, 'cd0100'],
  [2 ** 8 + 1, 'cd0101'],
  [2 ** 16 - 1, 'cdffff'],
  [2 ** 16, 'ce00010000'],
  [2 ** 16 + 1, 'ce00010001'],
  [2 ** 31 - 1, 'ce7fffffff'],
  [2 ** 31, 'ce80000000'],
  [2 ** 31 + 1, 'ce80000001'],
  [2 ** 32 - 1, 'ceffffffff'],
  [2 ** 32, 'cf0000000100000000'],
  [2 ** 32 + 1, 'cf0000000100000001'],
  [2 ** 53 - 2, 'cf001ffffffffffffe'],
  [2 ** 53 - 1, 'cf001fffffffffffff'],
]
