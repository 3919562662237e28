/** Handles of users, asked for once each. */
import type { Person, UserId } from '../../lib/client/index.ts'

type Directory = { people(users: readonly UserId[]): Promise<Person[]> }

export class Names {
  readonly #client: Directory
  readonly #handles = new Map<UserId, string>()

  constructor(client: Directory) {
    this.#client = client
  }

  /** Asks for those that are not known yet; without an answer they are shown by id. */
  async learn(users: Iterable<UserId | undefined>): Promise<void> {
    const unknown = [...new Set(users)].filter(
      (user) => user !== undefined && !this.#handles.has(user),
    )
    if (unknown.length === 0) return
    try {
      for (const { user, handle } of await this.#client.people(unknown as UserId[])) {
        this.#handles.set(user, handle)
      }
    } catch {
      // Names are a kindness: what is printed stays right without them.
    }
  }

  of(user: UserId): string {
    return this.#handles.get(user) ?? user
  }
}
