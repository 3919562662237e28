/** Typed events: `Events` maps a name to what its listeners get. Listeners run in order of registration. */
export class Emitter<Events extends Record<string, unknown>> {
  readonly #listeners = new Map<keyof Events, Set<(value: never) => void>>()

  /** The result takes the listener away. */
  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): () => void {
    let listeners = this.#listeners.get(name)
    if (listeners === undefined) {
      listeners = new Set()
      this.#listeners.set(name, listeners)
    }
    // Its own function each time: one listener may be given twice.
    const entry = (value: never): void => listener(value)
    listeners.add(entry)
    return () => void listeners.delete(entry)
  }

  /** A listener that throws does not keep the others from hearing: its error is thrown on its own. */
  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(value as never)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
