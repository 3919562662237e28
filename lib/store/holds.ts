/** One connection or file that several stores share: it is closed when the last of them lets go. */

/**
 * A function that takes a hold and returns how to give it back, which again is no harm. `leaving` is awaited by everyone
 * who gives back, `close` by the last.
 */
export const countHolds = (
  close: () => Promise<void>,
  leaving: () => Promise<void> = async () => {},
): (() => () => Promise<void>) => {
  let holds = 0
  return () => {
    holds++
    let given = false
    return async () => {
      if (given) return
      given = true
      await leaving()
      if (--holds === 0) await close()
    }
  }
}
