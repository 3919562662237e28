/** What `parley` prints with --json, and how it is called as somebody. */
export const SOON_MS = 120_000

export const as = (profile: string, ...args: readonly string[]): string[] => [
  '--profile',
  profile,
  ...args,
]
export const json = (lines: readonly string[]) =>
  lines.map((line) => JSON.parse(line) as Record<string, unknown>)
export const texts = (lines: readonly string[]) => json(lines).map(({ text }) => text)
