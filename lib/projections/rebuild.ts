/**
 * A rebuild: everything that one log stream still holds is derived again into the store, beside the follower. Nothing is
 * taken away first, so readers notice nothing; what the store had lost is there again.
 *
 * I1. The log is kept from where it is (bus/projections.ts), so that nothing is trimmed before it is read.
 * I2. How far it is, is published with the floor: another holder goes on from there.
 */
import type { RecordSource } from '../bus/record-source.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { CounterSeries } from '../metrics.ts'
import type { AsideRecords } from './aside-records.ts'
import { isMoved } from './follower.ts'
import type { Projection } from './projection.ts'
import type { PublishedFloor } from './published-floor.ts'
import { Storing } from './storing.ts'

export type RebuildOptions<Row> = {
  readonly projection: Projection<Row>
  readonly stream: number
  /** One of its own. */
  readonly source: RecordSource
  readonly published: PublishedFloor
  readonly aside: AsideRecords<Row>
  readonly clock: Clock
  readonly log: Log
  readonly rebuilt: CounterSeries
}

const WAIT_MS = 1_000
const PUBLISH_MS = 1_000

/** Runs rebuild `number`, or goes on with it; nothing when it was done. Returns when it is done, `stop` aborts, or another has the stream. */
export const runRebuild = async <Row>(
  options: RebuildOptions<Row>,
  number: number,
  stop: AbortSignal,
): Promise<void> => {
  const { projection, stream, source, published, aside, clock, log, rebuilt } = options
  const storing = new Storing({
    projection,
    stream,
    putAside: (record, error) => aside.put(record, error),
    onRetry: (err) => log.warn({ err }, 'projection.rebuild_retried'),
  })

  const once = async (): Promise<void> => {
    const floor = await published.claim(await projection.floor(stream))
    if (floor.rebuilt >= number) return
    let { at, until } = floor.rebuild?.number === number ? floor.rebuild : { at: 0, until: 0 }
    const publish = () => published.rebuilding({ number, at, until })
    // Before it looks at the log: from now on nothing of it goes.
    await publish()
    const { first, last } = await source.open(at + 1)
    at = Math.max(at, first - 1)
    until = Math.min(until === 0 ? last : until, last)
    await publish()
    log.info({ number, from: at + 1, until }, 'projection.rebuild_begun')
    let publishAt = clock.monotonic() + PUBLISH_MS
    while (at < until) {
      if (stop.aborted) return void (await publish())
      const records = await source.next(WAIT_MS, stop)
      if (records.length === 0) continue
      await storing.again(records, stop)
      source.ack()
      at = records.at(-1)!.position
      rebuilt.inc(records.length)
      if (clock.monotonic() < publishAt) continue
      await publish()
      publishAt = clock.monotonic() + PUBLISH_MS
    }
    await published.rebuilt(number)
    log.info({ number, until }, 'projection.rebuilt')
  }

  while (!stop.aborted) {
    try {
      await once()
      break
    } catch (err) {
      if (isMoved(err)) break
      log.warn({ err, number }, 'projection.rebuild_retried')
      await storing.pause(stop)
    }
  }
  source.close()
}
