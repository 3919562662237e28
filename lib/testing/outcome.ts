import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

export type Outcome = {
  /** null when a signal ended it. */
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** What a process printed and how it ended, once it has. Its output must be piped; ask as soon as it is spawned. */
export const outcomeOf = async (child: ChildProcess): Promise<Outcome> => {
  const [out, err] = [child.stdout, child.stderr].map((stream) => {
    const parts: string[] = []
    stream?.setEncoding('utf8').on('data', (part: string) => parts.push(part))
    return parts
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, out: out!.join(''), err: err!.join('') }
}
