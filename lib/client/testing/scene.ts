/** A client and a model server in one fake time. */
import type { UserId } from '../../ids.ts'
import { Client } from '../client.ts'
import type { RoomEvent } from '../events.ts'
import type { ClientOptions } from '../options.ts'
import { FakeTime } from './fake-time.ts'
import { ModelServer } from './model-server.ts'

export const ANN = 'uann' as UserId
export const BEN = 'uben' as UserId

export const scene = () => {
  const time = new FakeTime()
  const server = new ModelServer(() => time.now())
  const clientOf = (options: Partial<ClientOptions> = {}): Client =>
    new Client({
      ...{ api: 'http://model', time, dial: server.dial, fetch: server.fetch },
      ...options,
    })
  /** A client that is logged in and connected. */
  const connected = async (handle = 'ann', options: Partial<ClientOptions> = {}) => {
    const client = clientOf(options)
    if (server.accounts.has(handle)) await client.login({ handle, password: 'secret' })
    else await client.register({ handle, password: 'secret' })
    await reach(client.connect())
    return client
  }
  /** Lets time pass until `work` is done. */
  const reach = async <T>(work: Promise<T>, within = 60_000): Promise<T> => {
    let done = false
    const ended = () => {
      done = true
    }
    work.then(ended, ended)
    for (let ms = 0; ms < within && !done; ms += 50) {
      // The platform's own promises (responses) are not of the fake time.
      await new Promise((resolve) => setTimeout(resolve))
      await time.advance(50)
    }
    if (!done) throw new Error('not done in time')
    return work
  }
  return { time, server, clientOf, connected, reach }
}

export const heardBy = (client: Client): RoomEvent[] => {
  const events: RoomEvent[] = []
  client.on('event', (event) => events.push(event))
  return events
}
export const texts = (events: readonly RoomEvent[]): string[] =>
  events.flatMap((event) => (event.kind === 'message' ? [event.text] : []))
