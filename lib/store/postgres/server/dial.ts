/** A socket to PostgreSQL, inside TLS when asked for: the driver is given one that is ready. */
import { once } from 'node:events'
import { isIP, type Socket, connect as tcp } from 'node:net'
import { connect as secure } from 'node:tls'
import { ParleyError } from '../../../errors.ts'
import type { Address } from './address.ts'

/**
 * `require`: encrypted, but anybody may be at the other end. `verify`: the certificate is signed by `ca` (PEM; the
 * authorities of Node when undefined) and names the host.
 */
export type Tls =
  | { readonly mode: 'off' }
  | { readonly mode: 'require' }
  | { readonly mode: 'verify'; readonly ca: string | undefined }

/** The request for TLS: its length and a number that is no version of the protocol. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
const YES = 0x53
const ignore = () => {}

/** @throws what the network or TLS says, ParleyError unavailable when the server has no TLS, the signal's reason */
export const dial = async (address: Address, tls: Tls, signal: AbortSignal): Promise<Socket> => {
  signal.throwIfAborted()
  const { host, port, path } = address
  const socket = path === undefined ? tcp({ host, port, noDelay: true }) : tcp({ path })
  const give = () => socket.destroy()
  // Whoever waits for an event is told of an error; between two events nobody would be.
  socket.on('error', ignore)
  signal.addEventListener('abort', give, { once: true })
  try {
    await once(socket, 'connect', { signal })
    if (tls.mode === 'off') return socket
    socket.write(SSL_REQUEST)
    const [answer] = (await once(socket, 'data', { signal })) as [Buffer]
    // More than the one byte would be something that nobody has vouched for.
    if (answer[0] !== YES || answer.length !== 1) {
      throw new ParleyError('unavailable', {
        detail: 'PostgreSQL does not offer TLS: set ssl = on there, or --postgres-tls off',
      })
    }
    socket.pause()
    const inner = secure({
      socket,
      ...(isIP(host) === 0 && path === undefined ? { servername: host } : { host }),
      rejectUnauthorized: tls.mode === 'verify',
      ...(tls.mode === 'verify' && tls.ca !== undefined ? { ca: tls.ca } : {}),
    })
    inner.on('error', ignore)
    await once(inner, 'secureConnect', { signal })
    return inner
  } catch (error) {
    socket.destroy()
    throw signal.aborted ? signal.reason : error
  } finally {
    signal.removeEventListener('abort', give)
  }
}
