import type { Service } from '../../lib/service.ts'

export type Opened<T> = Service & {
  /** @throws Error before it is open */
  readonly it: T
}

/** Something that is opened when the services before it serve, and closed when those after it are drained. */
export const opened = <T>(
  name: string,
  open: (signal: AbortSignal) => Promise<T>,
  close: (it: T, deadline: number) => Promise<void>,
): Opened<T> => {
  let held: { readonly it: T } | undefined
  const get = (): T => {
    if (held === undefined) throw new Error(`${name} is not open`)
    return held.it
  }
  return {
    name,
    get it() {
      return get()
    },
    start: async (signal) => {
      held = { it: await open(signal) }
    },
    drain: (deadline) => close(get(), deadline),
  }
}
