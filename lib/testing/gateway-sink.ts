/** What hosts send to gateways, as a list: for tests of a host's parts without a bus. */
import type { Bus } from '../bus/bus.ts'
import { type Handle, readLive, readToGateway, type Token } from '../protocol/envelopes.ts'

export type Sent =
  | {
      readonly kind: 'final' | 'later'
      readonly gateway: string
      readonly token: Token
      readonly attempt: number
      readonly frame: Uint8Array
    }
  | { readonly kind: 'moved'; readonly gateway: string; readonly token: Token }
  | {
      readonly kind: 'deliver'
      readonly gateway: string
      readonly handle: Handle
      readonly frame: Uint8Array
    }
  | {
      readonly kind: 'pointers'
      readonly gateway: string
      readonly handle: Handle
      readonly position: number
      readonly frame: Uint8Array
    }
  | {
      readonly kind: 'kick'
      readonly gateway: string
      readonly handle: Handle
      readonly code: number
    }
  | {
      readonly kind: 'live'
      readonly user: string
      readonly except: Handle | undefined
      readonly frame: Uint8Array
    }
  /** Anything else that was published: answers to requests. */
  | { readonly kind: 'other'; readonly subject: string; readonly data: Uint8Array }

export class GatewaySink {
  #sent: Sent[] = []
  readonly bus = {
    publish: (subject: string, data: Uint8Array) => this.#take(subject, data.slice()),
  } as Bus

  /** All since the last call, in order. */
  take(): Sent[] {
    const sent = this.#sent
    this.#sent = []
    return sent
  }

  #take(subject: string, data: Uint8Array): void {
    const [first, gateway] = subject.split('.') as [string, string]
    const add = (sent: Sent) => void this.#sent.push(sent)
    if (first === 'live') {
      readLive(data, (from, handle, frame) =>
        add({
          kind: 'live',
          user: gateway,
          except: from === undefined ? undefined : handle,
          frame,
        }),
      )
    } else if (first === 'gw') {
      readToGateway(data, () => ({
        final: (token, attempt, frame) => add({ kind: 'final', gateway, token, attempt, frame }),
        later: (token, attempt, frame) => add({ kind: 'later', gateway, token, attempt, frame }),
        moved: (token) => add({ kind: 'moved', gateway, token }),
        deliver: (handle, frame) => add({ kind: 'deliver', gateway, handle, frame }),
        pointers: (handle, frame, position) =>
          add({ kind: 'pointers', gateway, handle, position, frame }),
        kick: (handle, code) => add({ kind: 'kick', gateway, handle, code }),
      }))
    } else add({ kind: 'other', subject, data })
  }
}
