/**
 * Locks of a profile's folder for the processes of one machine: a file that names its holder. A holder that is no longer
 * running has lost it; that is told by process id and start time, so that a reused id is not taken for it.
 *
 * K1 A lock file appears whole, by a link, so there is never one without a holder.
 * K2 A lock of the dead is taken away under a guard file, by one process at a time, after looking again.
 */
import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LockName, Locks, Release } from './locks.ts'
import { sleep, systemTime } from './time.ts'

type Holder = { readonly pid: number; readonly started: string; readonly nonce: string }

const POLL = 100
/** ms after which a guard is a dead process's: it is held for a few file operations. */
const GUARD_AGE = 10_000

export const fileLocks = (folder: string): Locks => {
  const tryAcquire = async (name: LockName): Promise<Release | undefined> => {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const path = join(folder, `${name}.lock`)
    const mine: Holder = {
      pid: process.pid,
      started: await startOf(process.pid),
      nonce: randomBytes(8).toString('hex'),
    }
    if (await claim(path, mine)) return () => release(path, mine)
    if (!(await clearDead(path))) return undefined
    return (await claim(path, mine)) ? () => release(path, mine) : undefined
  }
  return {
    tryAcquire,
    acquire: async (name, signal) => {
      for (;;) {
        signal.throwIfAborted()
        const held = await tryAcquire(name)
        if (held !== undefined) return held
        await sleep(systemTime, POLL, signal)
      }
    },
  }
}

/** Who holds a lock, when it can be told: for messages. */
export const holderOf = async (folder: string, name: LockName): Promise<number | undefined> =>
  (await read(join(folder, `${name}.lock`)))?.pid

const claim = async (path: string, mine: Holder): Promise<boolean> => {
  const draft = `${path}.${mine.nonce}`
  await writeFile(draft, JSON.stringify(mine), { mode: 0o600 })
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

const release = async (path: string, mine: Holder): Promise<void> => {
  if ((await read(path))?.nonce === mine.nonce) await rm(path, { force: true })
}

/** Takes the lock of a dead holder away. True when it is worth claiming again. */
const clearDead = async (path: string): Promise<boolean> => {
  const holder = await read(path)
  if (holder === undefined) return true
  if (await isAlive(holder)) return false
  const guard = `${path}.guard`
  if (!(await takeGuard(guard))) return false
  try {
    const now = await read(path)
    if (now?.nonce === holder.nonce) await rm(path, { force: true })
    return true
  } finally {
    await rm(guard, { force: true })
  }
}

const takeGuard = async (guard: string): Promise<boolean> => {
  try {
    await (await open(guard, 'wx', 0o600)).close()
    return true
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error
    const made = await stat(guard).catch(() => undefined)
    if (made !== undefined && Date.now() - made.mtimeMs > GUARD_AGE)
      await rm(guard, { force: true })
    return false
  }
}

/** Whoever wrote what is no lock file is dead: a crash of the machine can leave an empty one. */
const NOBODY: Holder = { pid: 0, started: '', nonce: '' }

const read = async (path: string): Promise<Holder | undefined> => {
  let value: unknown
  try {
    value = JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    if (error instanceof SyntaxError) return NOBODY
    throw error
  }
  const { pid, started, nonce } = (value ?? {}) as Record<string, unknown>
  if (typeof pid !== 'number' || typeof started !== 'string') return NOBODY
  return typeof nonce === 'string' ? { pid, started, nonce } : NOBODY
}

const isAlive = async ({ pid, started }: Holder): Promise<boolean> => {
  if (pid <= 0) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it runs, as another user.
    if (!isCode(error, 'EPERM')) return false
  }
  const start = await startOf(pid)
  return start === '' || started === '' || start === started
}

/** When a process was started, as the system counts it; empty where that can't be told. */
const startOf = async (pid: number): Promise<string> => {
  try {
    const line = await readFile(`/proc/${pid}/stat`, 'utf8')
    // Past the name, which may hold spaces and parentheses; the start is field 22.
    return line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

const isCode = (error: unknown, code: string): boolean =>
  (error as NodeJS.ErrnoException | undefined)?.code === code
