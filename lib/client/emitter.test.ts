import t from 'tap'
import { Emitter } from './emitter.ts'

t.test('listeners hear in their order, until they are taken away', async (t) => {
  const emitter = new Emitter<{ said: string }>()
  const heard: string[] = []
  const listener = (text: string) => heard.push(text)
  const off = emitter.on('said', (text) => heard.push(`1 ${text}`))
  emitter.on('said', listener)
  emitter.on('said', listener)
  emitter.emit('said', 'a')
  off()
  off()
  emitter.emit('said', 'b')
  t.strictSame(heard, ['1 a', 'a', 'a', 'b', 'b'])
})

t.test('one that throws keeps none from hearing, and is heard of', async (t) => {
  const emitter = new Emitter<{ said: string }>()
  const heard: string[] = []
  emitter.on('said', () => {
    throw new Error('mine')
  })
  emitter.on('said', (text) => heard.push(text))
  const thrown = new Promise<Error>((resolve) => process.once('uncaughtException', resolve))
  emitter.emit('said', 'a')
  t.strictSame(heard, ['a'])
  t.match(await thrown, { message: 'mine' })
})
