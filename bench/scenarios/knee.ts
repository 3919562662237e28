/** The highest rate that is held: no growing queue, and the p99 within a bound (bench method 3). */

const GROWTH = 1.5
const HALVINGS = 3

/**
 * Raises the rate from `first` until `holds` says no, then halves the gap a few times.
 * Answers the highest rate that held; undefined when even `first` did not (it is not lowered).
 */
export const findKnee = async (
  first: number,
  holds: (rate: number) => Promise<boolean>,
): Promise<number | undefined> => {
  let held: number | undefined
  let rate = first
  while (await holds(rate)) {
    held = rate
    rate = Math.round(rate * GROWTH)
  }
  if (held === undefined) return undefined
  let over = rate
  for (let i = 0; i < HALVINGS; i++) {
    const middle = Math.round((held + over) / 2)
    if (await holds(middle)) held = middle
    else over = middle
  }
  return held
}
