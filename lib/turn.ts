/** Runs what a loop turn has gathered once, at its end. */
export class Turn {
  readonly #run: () => void
  #scheduled = false

  constructor(run: () => void) {
    this.#run = run
  }

  readonly schedule = (): void => {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#end)
  }

  #end = (): void => {
    this.#scheduled = false
    this.#run()
  }
}
