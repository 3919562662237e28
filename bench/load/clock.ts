/** Time that all processes of this machine share: µs of the monotonic clock. */
const origin = Number(process.hrtime.bigint()) / 1000 - performance.now() * 1000

export const nowUs = (): number => origin + performance.now() * 1000
