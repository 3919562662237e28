/** Runs `each` for all items, `most` at a time; rejects on the first failure. */
export const inTurns = async <T>(
  items: readonly T[],
  most: number,
  each: (item: T) => Promise<void>,
): Promise<void> => {
  let next = 0
  const run = async (): Promise<void> => {
    while (next < items.length) await each(items[next++]!)
  }
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, run))
}
