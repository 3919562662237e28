/** What a script may rely on. */
export const EXIT = {
  ok: { code: 0, doc: 'Done; for `send`: everything is acked' },
  failed: { code: 1, doc: 'Something unexpected' },
  usage: { code: 2, doc: 'The command was called wrongly' },
  unreachable: { code: 3, doc: 'The server cannot be reached, or is not ready' },
  login: { code: 4, doc: 'Not logged in, or the login is not valid (any more)' },
  refused: { code: 5, doc: 'The server refused for good' },
  interrupted: { code: 130, doc: 'Stopped by Ctrl-C or a signal' },
} as const satisfies Record<string, { code: number; doc: string }>
export type Exit = keyof typeof EXIT
