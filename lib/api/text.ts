/** What people may call themselves, and what may be a password. */

const HANDLE = /^[a-z0-9_.]{3,30}$/
// Checked before folding: some letters outside ASCII fold into it.
const UNFOLDED = /^[A-Za-z0-9_.]{3,30}$/

/** Controls, line breaks, and marks that turn the direction of what follows: names must not disturb their surroundings. */
const DISTURBING = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]/u

export const NAME_BYTES = 256
export const PASSWORD_BYTES = { least: 8, most: 256 } as const

const utf8 = new TextEncoder()
const bytes = (text: string): number => utf8.encode(text).length

/** The handle folded to lower case, or undefined. */
export const parseHandle = (text: string): string | undefined => {
  if (!UNFOLDED.test(text)) return undefined
  const folded = text.toLowerCase()
  return HANDLE.test(folded) ? folded : undefined
}

/** A name of 1 to 256 bytes, composed and trimmed, or undefined. */
export const parseName = (text: string): string | undefined => {
  if (!text.isWellFormed() || DISTURBING.test(text)) return undefined
  const name = text.normalize('NFC').trim()
  return name === '' || bytes(name) > NAME_BYTES ? undefined : name
}

/** A password of 8 to 256 bytes, composed so that every keyboard makes the same one, or undefined. */
export const parsePassword = (text: string): string | undefined => {
  if (!text.isWellFormed()) return undefined
  const password = text.normalize('NFC')
  const length = bytes(password)
  return length < PASSWORD_BYTES.least || length > PASSWORD_BYTES.most ? undefined : password
}
