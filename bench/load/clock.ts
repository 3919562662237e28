/** Time that all processes and threads of this machine share: µs of the monotonic clock. */
const TRIES = 50

/** What to add to `performance.now()`: of many readings the one that was least interrupted between the two clocks. */
const origin = (() => {
  let best = 0
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < TRIES; i++) {
    const before = performance.now()
    const shared = Number(process.hrtime.bigint()) / 1000
    const after = performance.now()
    if (after - before >= least) continue
    least = after - before
    best = shared - ((before + after) / 2) * 1000
  }
  return best
})()

export const nowUs = (): number => origin + performance.now() * 1000
