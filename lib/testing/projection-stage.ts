/** A projection runner on what lib/projections/memory.fixture.ts has. */
import type { Test } from 'tap'
import { readFloor } from '../bus/projections.ts'
import { systemClock } from '../clock.ts'
import { newIncarnation } from '../ids.ts'
import { createLog, type Log } from '../log.ts'
import { Metrics } from '../metrics.ts'
import { MemoryBucket, MemoryProjection, MemorySource } from '../projections/memory.fixture.ts'
import { projectionRunner } from '../projections/runner.ts'
import { eventually } from './eventually.ts'

export type Stage = {
  projection: MemoryProjection
  sources: MemorySource[]
  rebuildSources: MemorySource[]
  cluster: MemoryBucket
  checkpoints: MemoryBucket
  projectors: MemoryBucket
  aside: MemoryBucket
}

export const runnerOf = (on: Stage, log: Log, metrics = new Metrics(), settleMs = 0) => {
  const { projection, sources, rebuildSources, cluster, checkpoints, projectors, aside } = on
  return projectionRunner({
    ...{ projection, sources, rebuildSources },
    buckets: { cluster, checkpoints, projectors, aside },
    member: { id: newIncarnation(), host: 'test', pid: 1 },
    exclusive: true,
    timing: { beatMs: 20, windowMs: 200 },
    ...{ log, metrics, clock: systemClock, settleMs },
  })
}

export const stage = (streams = 1): Stage => {
  const sources = Array.from({ length: streams }, () => new MemorySource())
  return {
    projection: new MemoryProjection(),
    sources,
    rebuildSources: sources.map((source) => source.another()),
    cluster: new MemoryBucket(),
    checkpoints: new MemoryBucket(),
    projectors: new MemoryBucket(),
    aside: new MemoryBucket(),
  }
}

export const floorIn = (on: Stage, stream = 0) =>
  readFloor(on.checkpoints.entries.get(`floor.history.${stream}`)?.value)

export const run = async (t: Test, on: Stage, settleMs = 0) => {
  const lines: Record<string, unknown>[] = []
  const log = createLog({
    level: 'debug',
    format: 'json',
    destination: { write: (line) => lines.push(JSON.parse(line)) },
  })
  const metrics = new Metrics()
  const runner = runnerOf(on, log, metrics, settleMs)
  await runner.start(new AbortController().signal)
  let drained = false
  const drain = async (ms = 5000) => {
    drained = true
    await runner.drain(systemClock.monotonic() + ms)
  }
  t.teardown(async () => {
    if (!drained) await drain()
  })
  const told = (event: string) => lines.filter((line) => line.event === event)
  const value = async (metric: string) =>
    Number(new RegExp(`^${metric}\\{.*\\} (.*)$`, 'm').exec(await metrics.text())?.[1])
  return { drain, told, value }
}

export const reached = (on: Stage, position: number, stream = 0) =>
  eventually(`floor ${position}`, () => on.projection.floors.get(stream) === position)
