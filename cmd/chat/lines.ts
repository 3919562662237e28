/**
 * Text from a pipe as messages: one per line. A server takes no empty message, so empty lines travel with the line before
 * them, as line breaks at its end (or with the one after, when that one has left already): printed back, message after
 * message, the text is the same.
 */
import { Usage } from './failure.ts'

/** ms that a line waits for empty ones to follow. */
const LINGER = 100
/** Bytes of a line that are read at most: far more than any server takes. */
const LONGEST = 1024 * 1024

type Next = IteratorResult<string> | 'quiet'

/** Lines without their breaks. A last one without a break counts. @throws Usage when it is no UTF-8. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let rest = ''
  let count = 0
  const decode = (chunk?: Uint8Array): string => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined })
    } catch {
      throw new Usage(`Line ${count + 1} of the input, or one soon after it, is not valid UTF-8.`)
    }
  }
  for await (const chunk of chunks) {
    const lines = (rest + decode(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      count++
      yield line
    }
    if (rest.length > LONGEST) throw new Usage(`Line ${count + 1} of the input is too long.`)
  }
  rest += decode()
  if (rest !== '') yield rest
}

/** The messages for `lines`. @throws what reading throws */
export async function* messagesOf(
  lines: AsyncGenerator<string, void>,
): AsyncGenerator<string, number> {
  let held: string | undefined
  let empty = 0
  let coming: Promise<IteratorResult<string>> | undefined
  for (;;) {
    coming ??= lines.next()
    const next: Next = held === undefined ? await coming : await orQuiet(coming)
    if (next === 'quiet') {
      if (held !== undefined) yield held
      held = undefined
      continue
    }
    coming = undefined
    if (next.done) break
    if (next.value === '') {
      if (held === undefined) empty++
      else held += '\n'
      continue
    }
    if (held !== undefined) yield held
    held = '\n'.repeat(empty) + next.value
    empty = 0
  }
  if (held !== undefined) yield held
  // Nothing is left for them to travel with, but two empty lines are one line break and its own.
  if (empty > 1) yield '\n'.repeat(empty - 1)
  return empty === 1 ? 1 : 0
}

const orQuiet = async (coming: Promise<IteratorResult<string>>): Promise<Next> => {
  const { promise, resolve } = Promise.withResolvers<'quiet'>()
  const timer = setTimeout(() => resolve('quiet'), LINGER)
  try {
    return await Promise.race([coming, promise])
  } finally {
    clearTimeout(timer)
  }
}
