import t from 'tap'
import { createLog } from '../log.ts'
import { Fullness } from './fullness.ts'

t.test('L0 each stream is full for itself, and says so once', async (t) => {
  const fills = { log: [0.1, 0.1], inbox: [0, 0] }
  const held = [false, false, false, false]
  const lines: string[] = []
  const fullness = new Fullness({
    trimmer: { logFill: (p = 0) => fills.log[p]!, inboxFill: (p = 0) => fills.inbox[p]! },
    pointers: {
      hold: (which, on) => {
        for (const p of held.keys()) if (which(p)) held[p] = on
      },
    },
    log: createLog({
      level: 'debug',
      format: 'json',
      destination: { write: (line) => lines.push(line) },
    }),
    streams: 2,
  })
  const logs = () => [0, 1, 2, 3].map((p) => fullness.log(p))
  fullness.look()
  t.strictSame([logs(), held, lines], [[false, false, false, false], held, []])
  fills.log[1] = 0.8
  fills.inbox[0] = 0.9
  fullness.look()
  fullness.look()
  t.strictSame(logs(), [false, true, false, true])
  t.strictSame(held, [true, false, true, false])
  t.strictSame(
    lines.map((line) => line.match(/"k":\d|"\w+\.full"|"full":\w+/g)?.sort()),
    [
      ['"full":true', '"inbox.full"', '"k":0'],
      ['"full":true', '"k":1', '"log.full"'],
    ],
  )
  fills.log[1] = 0.79
  fills.inbox[0] = 0
  fullness.look()
  t.strictSame(logs(), [false, false, false, false])
  t.strictSame(held, [false, false, false, false])
})
