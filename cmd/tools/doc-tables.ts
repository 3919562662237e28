/**
 * What the docs take from the code. A generator returns Markdown without the markers; its name is
 * what stands in `<!-- generated:NAME -->`. To add one, write a function and list it.
 */
import { CLOSE, ERRORS, mayReconnect } from '../../lib/errors.ts'
import { FRAME_GENERATORS } from './docs-frames.ts'
import { table } from './markdown.ts'

export { table }

export const GENERATORS: Readonly<Record<string, () => string>> = {
  errors: () =>
    table(
      ['number', 'code', 'temporary', 'meaning'],
      Object.entries(ERRORS).map(([code, { number, temporary, text }]) => [
        number,
        `\`${code}\``,
        temporary ? 'yes' : 'no',
        text,
      ]),
    ),
  'close-codes': () =>
    table(
      ['code', 'reason', 'reconnect', 'meaning'],
      Object.entries(CLOSE).map(([reason, { number, text }]) => [
        number,
        `\`${reason}\``,
        mayReconnect(number) ? 'yes' : 'no',
        text,
      ]),
    ),
  ...FRAME_GENERATORS,
}
