/**
 * What only one client of a profile may do at a time: run its outbox (contracts N6), and change its tokens, whose
 * refresh works once. A lock ends with the tab or process that holds it.
 */
import { orAborted } from './time.ts'

export type LockName = 'outbox' | 'tokens'
/** Gives the lock back; again is no harm. */
export type Release = () => Promise<void>

export interface Locks {
  /** The lock, or undefined when another has it. */
  tryAcquire(name: LockName): Promise<Release | undefined>
  /** Waits for the lock. @throws the signal's reason when it aborts first. */
  acquire(name: LockName, signal: AbortSignal): Promise<Release>
}

/** For a profile that nobody else can open: in memory, for one client. */
export const soleLocks = (): Locks => {
  const held = new Map<LockName, Promise<void>>()
  const take = (name: LockName): Release => {
    const { promise, resolve } = Promise.withResolvers<void>()
    held.set(name, promise)
    let free = false
    return async () => {
      if (free) return
      free = true
      held.delete(name)
      resolve()
    }
  }
  const tryAcquire = async (name: LockName) => (held.has(name) ? undefined : take(name))
  return {
    tryAcquire,
    acquire: async (name, signal) => {
      for (let holder = held.get(name); holder !== undefined; holder = held.get(name)) {
        await orAborted(holder, signal)
      }
      signal.throwIfAborted()
      return take(name)
    },
  }
}

/** Web Locks, shared by all tabs and workers of an origin. `profile` names what they share. */
export const webLocks = (profile: string, manager: LockManager = navigator.locks): Locks => {
  const hold = (name: LockName, options: LockOptions): Promise<Release | undefined> =>
    new Promise((resolve, reject) => {
      const { promise, resolve: free } = Promise.withResolvers<void>()
      const released: Promise<void> = manager
        .request(`parley:${profile}:${name}`, options, (lock) => {
          if (lock === null) {
            resolve(undefined)
            return undefined
          }
          resolve(() => {
            free()
            return released
          })
          return promise
        })
        .then(() => {}, reject)
    })
  return {
    tryAcquire: (name) => hold(name, { ifAvailable: true }),
    acquire: async (name, signal) => {
      const release = await hold(name, { signal })
      if (release === undefined) throw new Error('a waiting lock request came back empty')
      return release
    },
  }
}
