/**
 * A connection for reading streams in bulk. Apart from the one that carries messages, so that megabytes of a catch-up
 * do not stand in front of an ack in the same socket.
 */
import { type NatsOptions, openConnection } from './connect.ts'
import { type RecordSource, type RecordSourceOptions, recordSource } from './record-source.ts'

export type RecordConnection = {
  source(options: RecordSourceOptions): RecordSource
  /** Closes the connection, and with it every source. */
  close(): Promise<void>
}

/** Waits for the first server to answer. @throws ParleyError unavailable */
export const connectRecords = async (options: NatsOptions): Promise<RecordConnection> => {
  const connection = await openConnection(options)
  return {
    source: (source) => recordSource(connection, source),
    close: async () => {
      if (!connection.isClosed()) await connection.close()
    },
  }
}
