/**
 * Logs: one event per line, with a stable name that says what happened (`session.closed`) and fields that say to
 * whom. Names and fields are what operators search and alert on: they are changed as carefully as metrics.
 */
import pino from 'pino'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export const LOG_FORMATS = ['json', 'text'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

/** `noun.what_happened` */
export type EventName = `${Lowercase<string>}.${Lowercase<string>}`

/** An Error goes under `err`. Message texts and secrets never go into a log. */
export type LogFields = Readonly<Record<string, unknown>>

export interface Log {
  debug(fields: LogFields, event: EventName): void
  info(fields: LogFields, event: EventName): void
  warn(fields: LogFields, event: EventName): void
  error(fields: LogFields, event: EventName): void
  /** The same log with these fields on every line. */
  child(fields: LogFields): Log
}

export type LogOptions = {
  readonly level: LogLevel
  /** `text` is for people at a terminal: no promise is made about its shape. */
  readonly format: LogFormat
  /** Takes whole lines; standard error when absent. */
  readonly destination?: { write(line: string): void }
}

/** A slip must not put a credential into a file; nothing logs one on purpose. */
const SECRETS = ['authorization', 'cookie', 'password', 'refresh', 'resume', 'secret', 'token']

export const createLog = (options: LogOptions): Log => {
  const sink = options.destination ?? pino.destination({ fd: 2, sync: true })
  const destination =
    options.format === 'json' ? sink : { write: (line: string) => sink.write(asText(line)) }
  return pino(
    {
      level: options.level,
      messageKey: 'event',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      redact: SECRETS.flatMap((name) => [name, `*.${name}`]),
    },
    destination,
  )
}

const asText = (line: string): string => {
  const { level, time, event, ...fields } = JSON.parse(line) as Record<string, unknown>
  let text = `${String(time).slice(11, 23)} ${String(level).padEnd(5)} ${event}`
  for (const [name, value] of Object.entries(fields)) text += ` ${name}=${shown(value)}`
  return `${text}\n`
}

const shown = (value: unknown): string => {
  if (typeof value === 'string') return /^[\w.:/-]+$/.test(value) ? value : JSON.stringify(value)
  if (value !== null && typeof value === 'object' && 'message' in value) {
    return JSON.stringify(value.message)
  }
  return JSON.stringify(value)
}
