/** The thread of metronome.ts: sleeps until the time asked for, then wakes the other one. */
import { workerData } from 'node:worker_threads'
import { nowUs } from './clock.ts'
import { ASKED, type MetronomeShared, RUNG } from './metronome.ts'

const { words, due } = workerData as MetronomeShared

for (let answered = 0; ; ) {
  const asked = Atomics.load(words, ASKED)
  if (asked === answered) {
    Atomics.wait(words, ASKED, asked)
    continue
  }
  const dueUs = due[0]!
  if (dueUs < 0) break
  const leftMs = (dueUs - nowUs()) / 1000
  if (leftMs > 0.01) Atomics.wait(words, ASKED, asked, leftMs)
  else {
    answered = asked
    Atomics.add(words, RUNG, 1)
    Atomics.notify(words, RUNG)
  }
}
