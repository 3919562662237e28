/** Figures of several rounds. */
export type Spread = { readonly median: number; readonly min: number; readonly max: number }

/** Of an even number the mean of the middle two. @throws RangeError for none */
export const spread = (values: readonly number[]): Spread => {
  if (values.length === 0) throw new RangeError('no rounds')
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  const upper = sorted[half]!
  const median = sorted.length % 2 === 1 ? upper : (sorted[half - 1]! + upper) / 2
  return { median, min: sorted[0]!, max: sorted.at(-1)! }
}

/** Rounded to `digits` significant ones. */
export const significant = (value: number, digits = 3): number =>
  Number.isFinite(value) ? Number(value.toPrecision(digits)) : value
