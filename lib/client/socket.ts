/** The little that the client needs of a WebSocket, so that tests and other runtimes can give their own. */
export type SocketEvents = {
  opened(): void
  /** One binary message. */
  message(bytes: Uint8Array): void
  /** Once, however it ended; 1006 when there was no close frame. No event follows it. */
  closed(code: number): void
}

export interface Socket {
  send(bytes: Uint8Array): void
  /** Starts closing; `closed` need not follow soon, or at all. */
  close(code: number, reason: string): void
}

export type Dial = (url: string, events: SocketEvents) => Socket

/** Over the platform's WebSocket, of browsers and Node alike. */
export const dialWebSocket: Dial = (url, events) => {
  const socket = new WebSocket(url)
  socket.binaryType = 'arraybuffer'
  socket.onopen = () => events.opened()
  socket.onmessage = ({ data }) => {
    // A text message is none of the protocol; an empty one is refused like any other bytes that are no frame.
    events.message(data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array([0xc1]))
  }
  socket.onclose = ({ code }) => events.closed(code)
  return {
    send: (bytes) => socket.send(bytes as Uint8Array<ArrayBuffer>),
    close: (code, reason) => socket.close(code, reason),
  }
}
