/**
 * What the docs take from the code. A generator returns Markdown without the markers; its name is
 * what stands in `<!-- generated:NAME -->`. To add one, write a function and list it.
 */
import { CLOSE, ERRORS, mayReconnect } from '../../lib/errors.ts'

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
}

/** A Markdown table. Bars and line breaks in cells are escaped. */
export function table(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const line = (cells: readonly unknown[]) =>
    `| ${cells
      .map((cell) =>
        String(cell)
          .replaceAll('|', '\\|')
          .replace(/\s*\n\s*/g, ' '),
      )
      .join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
