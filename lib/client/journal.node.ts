/**
 * A file of lines that grows at its end. Lines given in one call are written together; calls are written in order, as
 * many at once as wait. A line that was cut off by a crash was never promised: it is dropped when the file is read.
 * Survives a crash of the process; the disk is only waited for when the file is rewritten.
 */
import { appendFile, mkdir, open, readFile, rename, truncate } from 'node:fs/promises'
import { dirname } from 'node:path'

type Done = { readonly done: PromiseWithResolvers<void> }
type Append = Done & { readonly text: string; readonly lines: number }
type Rewrite = Done & { readonly whole: readonly string[] }
type Work = Append | Rewrite

export class Journal {
  readonly #path: string
  /** Lines in the file, as far as is known. */
  #lines = 0
  #waiting: Work[] = []
  #writing: Promise<void> | undefined
  /** The last write failed, perhaps in the middle of a line. */
  #torn = false

  constructor(path: string) {
    this.#path = path
  }

  get lines(): number {
    return this.#lines
  }

  /** The whole lines of the file; none when there is no file. With `repair` a cut-off one is taken away. */
  async read(repair: boolean): Promise<string[]> {
    let text: string
    try {
      text = await readFile(this.#path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
    const end = text.lastIndexOf('\n') + 1
    if (end < text.length && repair) {
      await truncate(this.#path, Buffer.byteLength(text.slice(0, end)))
    }
    const lines = text.slice(0, end).split('\n')
    lines.pop()
    this.#lines = lines.length
    return lines
  }

  append(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return Promise.resolve()
    const done = Promise.withResolvers<void>()
    this.#waiting.push({ text: `${lines.join('\n')}\n`, lines: lines.length, done })
    this.#writing ??= this.#write()
    return done.promise
  }

  async #write(): Promise<void> {
    // What is given in the same turn goes out in the same write.
    await undefined
    while (this.#waiting.length > 0) {
      const next = this.#waiting.findIndex((work) => 'whole' in work)
      const batch = this.#waiting.splice(0, next < 0 ? this.#waiting.length : Math.max(1, next))
      try {
        await this.#do(batch)
        for (const { done } of batch) done.resolve()
      } catch (error) {
        this.#torn = true
        for (const { done } of batch) done.reject(error)
      }
    }
    this.#writing = undefined
  }

  /** One rewrite, or any number of appends. */
  async #do(batch: readonly Work[]): Promise<void> {
    let text = ''
    let lines = 0
    for (const work of batch) {
      if ('whole' in work) {
        await replaceFile(this.#path, work.whole.map((line) => `${line}\n`).join(''))
        this.#lines = work.whole.length
        this.#torn = false
        return
      }
      text += work.text
      lines += work.lines
    }
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 })
    await appendFile(this.#path, this.#torn ? `\n${text}` : text, { mode: 0o600 })
    this.#torn = false
    this.#lines += lines
  }

  /**
   * Puts other lines in the place of all that were given before: after a crash the file holds the old ones or these.
   */
  async rewrite(lines: readonly string[]): Promise<void> {
    const done = Promise.withResolvers<void>()
    this.#waiting.push({ whole: lines, done })
    this.#writing ??= this.#write()
    await done.promise
  }

  /** Resolves when nothing waits to be written. */
  async flushed(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }
}

/** Writes a file whole: after a crash there is the old one or the new one. Only its owner may read it. */
export const replaceFile = async (path: string, text: string): Promise<void> => {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const next = `${path}.${process.pid}.new`
  const file = await open(next, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(next, path)
}
