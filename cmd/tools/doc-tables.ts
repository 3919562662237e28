/**
 * What the docs take from the code. A generator returns Markdown without the markers; its name is
 * what stands in `<!-- generated:NAME -->`. To add one, write a function and list it.
 */
import { environmentName, optionName, SETTINGS } from '../../lib/config.ts'
import { CLOSE, ERRORS, mayReconnect } from '../../lib/errors.ts'
import { METRICS } from '../../lib/metrics.ts'
import { ruleTests } from './doc-rules.ts'
import { FRAME_GENERATORS } from './docs-frames.ts'
import { table } from './markdown.ts'

export { table }

const shown = (value: unknown): string => {
  const text = String(value)
  return text === '' ? 'none' : `\`${text}\``
}

const MANY = 40
const valuesShown = (values: readonly string[]): string =>
  values.length > MANY ? `${values[0]} to ${values.at(-1)}` : values.join(', ')

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
  settings: () =>
    table(
      ['option', 'environment', 'default', 'takes', 'what it does'],
      Object.entries(SETTINGS).map(([name, { kind, default: initial, doc }]) => [
        `\`--${optionName(name)}\``,
        `\`${environmentName(name)}\``,
        shown(initial),
        kind.expects,
        doc,
      ]),
    ),
  metrics: () =>
    table(
      ['metric', 'kind', 'labels', 'what it tells'],
      Object.entries(METRICS).map(([name, { kind, labels, help }]) => [
        `\`${name}\``,
        kind,
        Object.entries(labels)
          .map(([label, values]) => `\`${label}\`: ${valuesShown(values)}`)
          .join('; '),
        help,
      ]),
    ),
  'rule-tests': () => ruleTests(),
  ...FRAME_GENERATORS,
}
