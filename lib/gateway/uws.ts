/** The one place that knows uWebSockets.js: listens, upgrades, and hands sockets and their messages on. */
import {
  App,
  DISABLED,
  type HttpRequest,
  type HttpResponse,
  SSLApp,
  type us_listen_socket,
  us_listen_socket_close,
  type us_socket_context_t,
  us_socket_local_port,
  type WebSocket,
} from 'uWebSockets.js'
import { ParleyError } from '../errors.ts'
import type { Socket } from './session.ts'

/** What an HTTP request that wants a WebSocket says of itself. */
export type Knock = {
  readonly version: string
  readonly origin: string
  readonly forwardedFor: string
  readonly remote: string
}

/** Refused with an HTTP status and a line that says why. */
export type NoEntry = { readonly status: string; readonly why: string }

export type ListenOptions<S> = {
  readonly host: string
  readonly port: number
  readonly sharePort: boolean
  readonly tls: { readonly key: string; readonly cert: string } | undefined
  /** Larger messages end the connection before they are read. */
  readonly maxMessage: number
  /** Bytes kept for a socket that reads slowly, before it is cut off. */
  readonly maxKept: number
  /** A connection that is closing, or answers no ping, ends after this long, s. */
  readonly idleSeconds: number
  /** The client's address when it may come in. */
  readonly admit: (knock: Knock) => { readonly address: string } | NoEntry
  readonly opened: (socket: Socket, address: string) => S
  /** `bytes` is gone after the call. */
  readonly message: (session: S, bytes: Uint8Array, isBinary: boolean) => void
  readonly drained: (session: S) => void
  /** The socket is gone, whoever ended it. */
  readonly closed: (session: S, address: string) => void
}

export type Listener = {
  readonly port: number
  /** Takes no new connections. */
  stop(): void
  /** Ends all connections at once. */
  close(): void
}

type UserData<S> = { readonly address: string; session: S | undefined }

const text = new TextDecoder()

/** LIBUS_LISTEN_EXCLUSIVE_PORT, which the addon exports and its types do not. Without it a port may be shared. */
const EXCLUSIVE = 1

/** @throws ParleyError unavailable when the port can't be had. */
export const listen = <S>(options: ListenOptions<S>): Promise<Listener> => {
  const { tls } = options
  const app =
    tls === undefined ? App() : SSLApp({ key_file_name: tls.key, cert_file_name: tls.cert })
  app.ws<UserData<S>>('/*', {
    compression: DISABLED,
    maxPayloadLength: options.maxMessage,
    maxBackpressure: options.maxKept,
    closeOnBackpressureLimit: true,
    idleTimeout: options.idleSeconds,
    sendPingsAutomatically: false,
    upgrade: (res, req, context) => upgrade(options, res, req, context),
    open: (ws) => {
      const data = ws.getUserData()
      data.session = options.opened(ws, data.address)
    },
    message: (ws, message, isBinary) => {
      const { session } = ws.getUserData()
      if (session !== undefined) options.message(session, new Uint8Array(message), isBinary)
    },
    drain: (ws: WebSocket<UserData<S>>) => {
      const { session } = ws.getUserData()
      if (session !== undefined) options.drained(session)
    },
    close: (ws) => {
      const data = ws.getUserData()
      if (data.session !== undefined) options.closed(data.session, data.address)
      data.session = undefined
    },
  })
  app.any('/*', (res) => deny(res, { status: '426 Upgrade Required', why: 'WebSocket only' }))
  const { promise, resolve, reject } = Promise.withResolvers<Listener>()
  const onListen = (socket: us_listen_socket | false): void => {
    if (socket === false) {
      const detail = `${options.host}:${options.port} is taken or may not be listened on`
      reject(new ParleyError('unavailable', { detail }))
      return
    }
    let listening = true
    let open = true
    const stop = (): void => {
      if (listening) us_listen_socket_close(socket)
      listening = false
    }
    resolve({
      port: us_socket_local_port(socket),
      stop,
      close: () => {
        stop()
        if (open) app.close()
        open = false
      },
    })
  }
  const { host, port } = options
  // The types know no options together with a host; the addon does.
  const listenOn = app.listen as (...args: unknown[]) => unknown
  if (options.sharePort) listenOn.call(app, host, port, onListen)
  else listenOn.call(app, host, port, EXCLUSIVE, onListen)
  return promise
}

const deny = (res: HttpResponse, { status, why }: NoEntry): void => {
  res.cork(() => {
    res.writeStatus(status).writeHeader('Content-Type', 'text/plain')
    if (status.startsWith('426')) res.writeHeader('Upgrade', 'websocket')
    if (status.startsWith('426')) res.writeHeader('Sec-WebSocket-Version', '13')
    res.end(`${why}\n`, true)
  })
}

const upgrade = <S>(
  options: ListenOptions<S>,
  res: HttpResponse,
  req: HttpRequest,
  context: us_socket_context_t,
): void => {
  const admitted = options.admit({
    version: req.getHeader('sec-websocket-version'),
    origin: req.getHeader('origin'),
    forwardedFor: req.getHeader('x-forwarded-for'),
    remote: text.decode(res.getRemoteAddressAsText()),
  })
  if ('status' in admitted) {
    deny(res, admitted)
    return
  }
  const data: UserData<S> = { address: admitted.address, session: undefined }
  res.upgrade(
    data,
    req.getHeader('sec-websocket-key'),
    // No subprotocol is spoken; a browser that asks for one refuses the answer by itself.
    '',
    '',
    context,
  )
}
