/** Who keeps the place of a profile's device: the profile, or the server in a durable queue. Chosen when it logs in. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientOptions } from '../../lib/client/index.ts'
import { Usage } from './failure.ts'

export type Delivery = NonNullable<ClientOptions['delivery']>

/** Not there: cursor. */
const pathOf = (folder: string): string => join(folder, 'delivery')

/** @throws Usage when the profile says something else */
export const deliveryOf = async (folder: string): Promise<Delivery> => {
  let text: string
  try {
    text = await readFile(pathOf(folder), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'cursor'
    throw error
  }
  const delivery = text.trim()
  if (delivery === 'cursor' || delivery === 'queue') return delivery
  throw new Usage(`${pathOf(folder)} says neither cursor nor queue: ${delivery}`)
}

export const keepDelivery = async (folder: string, delivery: Delivery): Promise<void> => {
  if (delivery === 'cursor') return rm(pathOf(folder), { force: true })
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await writeFile(pathOf(folder), `${delivery}\n`, { mode: 0o600 })
}
