/** People on a server, all of their devices of one mode; people of the other mode may be there too. */
import { Device, type HelloOptions, type Login, login, register } from './device.ts'
import type { Mode } from './mode.ts'
import type { Server } from './server.ts'

export class Stage {
  readonly server: Server
  readonly mode: Mode

  constructor(server: Server, mode: Mode) {
    this.server = server
    this.mode = mode
  }

  /** The handle of somebody who is called `name` in the tests. */
  handle(name: string): string {
    return `${name}.${this.mode}`
  }

  register(name: string): Promise<Login> {
    return register(this.server, this.handle(name))
  }

  /** A further device. */
  login(name: string): Promise<Login> {
    return login(this.server, this.handle(name))
  }

  /** @throws Error when it is not welcomed */
  open(login: Login, options: Omit<HelloOptions, 'mode'> = {}): Promise<Device> {
    return Device.open(this.server, login, { ...options, mode: this.mode })
  }
}
