/** Where a password comes from: the option, the environment, or a person who types it unseen. */
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { Usage } from './failure.ts'
import { Interrupted, type Rim } from './rim.ts'

/** `twice`: a new password, which a typing error would lock out. */
export const passwordFor = async (
  given: string | undefined,
  rim: Rim,
  twice: boolean,
): Promise<string> => {
  const told = given ?? rim.env.PARLEY_PASSWORD
  if (told !== undefined && told !== '') return told
  if (!rim.interactive) {
    throw new Usage('Give the password in --password or PARLEY_PASSWORD: nobody can be asked here.')
  }
  const typed = await rim.askHidden('Password: ')
  if (twice && (await rim.askHidden('Again: ')) !== typed) {
    throw new Usage('These were two different passwords.')
  }
  return typed
}

/** Asks on the terminal, echoing nothing. */
export const askHidden = (question: string, signal: AbortSignal): Promise<string> =>
  new Promise((resolve, reject) => {
    const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
    const lines = createInterface({ input: process.stdin, output: silent, terminal: true })
    const end = () => {
      lines.close()
      process.stderr.write('\n')
    }
    process.stderr.write(question)
    lines.question('', (answer) => {
      end()
      resolve(answer)
    })
    const stop = () => {
      end()
      reject(new Interrupted())
    }
    lines.once('SIGINT', stop)
    signal.addEventListener('abort', stop, { once: true })
  })
