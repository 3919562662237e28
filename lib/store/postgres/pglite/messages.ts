/** What goes between the process and the thread that PGlite runs in. */
import type { ErrorCode } from '../../../errors.ts'
import type { DirectoryLimits, DirectoryStore } from '../../directory/directory.ts'

export type Method = keyof DirectoryStore

const TABLE: Record<Method, true> = {
  register: true,
  unregister: true,
  credentials: true,
  login: true,
  rotate: true,
  removeDevice: true,
  changePassword: true,
  rename: true,
  standing: true,
  devices: true,
  profileOf: true,
  profiles: true,
  pending: true,
  published: true,
  resend: true,
  seed: true,
  close: true,
}
export const METHODS = Object.keys(TABLE) as Method[]

export type WorkerSetup = { readonly directory: string; readonly limits: DirectoryLimits }
export type Call = { readonly id: number; readonly method: Method; readonly args: unknown[] }
export type Failure = { readonly code: ErrorCode; readonly detail: string; readonly cause: unknown }
/** `id` 0 answers the start of the thread. */
export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly failure: Failure }
