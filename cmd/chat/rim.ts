/** What a command sees of the world around it, so that tests can give their own. */
export type Rim = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
  readonly stdin: AsyncIterable<Uint8Array>
  /** True when a person can be asked. */
  readonly interactive: boolean
  /** A line of the answer, for a person or a script. Resolves when there is room for the next. */
  out(line: string): Promise<void>
  /** A line about the work, for a person. */
  note(line: string): void
  /** Asks without showing what is typed. */
  askHidden(question: string): Promise<string>
  /** Aborts when the person stops the command. */
  readonly signal: AbortSignal
}

/** The person stopped the command. */
export class Interrupted extends Error {
  override name = 'Interrupted'
}
