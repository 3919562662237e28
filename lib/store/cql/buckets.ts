/** Events of one room in one partition: seq ≫ 10, so that a partition is bounded and a page's buckets are computed. */
export const BUCKET_EVENTS = 1024

export const bucketOf = (seq: number): number => Math.floor(seq / BUCKET_EVENTS)

/**
 * Above every seq and below every clock (µs since 1970: the year 2005). What is deleted with it stays deleted, whatever
 * wrote it; a server's check against times from the future lets it pass.
 */
export const FOR_GOOD = 2 ** 50
/** Above every seq that can be stored. */
export const SEQ_END = FOR_GOOD
