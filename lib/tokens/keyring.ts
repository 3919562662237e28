/**
 * The keys behind all tokens, in one file of the data directory. The first key of each list signs, all of them
 * verify: a rotation puts a new one in front and drops the last when its tokens have expired.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import { chmod, link, mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { nanoid } from 'nanoid'
import { ParleyError } from '../errors.ts'

export type AccessKey = {
  readonly kid: string
  readonly private: KeyObject
  readonly public: KeyObject
}
/** The secret of the tokens that only servers read: resume and refresh. `id` is 0 … 255. */
export type SealKey = { readonly id: number; readonly secret: Buffer }
export type Keyring = { readonly access: readonly AccessKey[]; readonly seal: readonly SealKey[] }

type KeyFile = {
  access: { kid: string; x: string; d: string }[]
  seal: { id: number; secret: string }[]
}

const SECRET_BYTES = 32

/**
 * Reads `directory/tokens.json`, made on first use with mode 0600; several processes may start at once.
 * Errors: `unavailable` with the reason in words when the file is damaged or others may read it.
 */
export const openKeyring = async (directory: string): Promise<Keyring> => {
  const path = join(directory, 'tokens.json')
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const text = (await readOwn(path)) ?? (await make(path))
  try {
    return parse(JSON.parse(text) as KeyFile)
  } catch (cause) {
    throw new ParleyError('unavailable', { detail: `${path} is damaged`, cause })
  }
}

const readOwn = async (path: string): Promise<string | undefined> => {
  try {
    const { mode } = await stat(path)
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      throw new ParleyError('unavailable', {
        detail: `${path} holds secret keys but others may read it: chmod 600 it, or remove it to log everybody out`,
      })
    }
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** Written aside and linked into place: a crash leaves no half of it, and of two processes one wins. */
const make = async (path: string): Promise<string> => {
  const aside = `${path}.${nanoid(8)}`
  try {
    const file = await open(aside, 'wx', 0o600)
    try {
      await file.writeFile(JSON.stringify(fresh(), null, 2))
      await file.sync()
    } finally {
      await file.close()
    }
    await chmod(aside, 0o600)
    await link(aside, path)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  } finally {
    await rm(aside, { force: true })
  }
  return await readFile(path, 'utf8')
}

const fresh = (): KeyFile => {
  const { x, d } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  return {
    access: [{ kid: `k${nanoid(11)}`, x: x!, d: d! }],
    seal: [{ id: 1, secret: randomBytes(SECRET_BYTES).toString('base64url') }],
  }
}

const parse = (file: KeyFile): Keyring => {
  const access = file.access.map(({ kid, x, d }) => {
    const key = createPrivateKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x, d } })
    return { kid, private: key, public: createPublicKey(key) }
  })
  const seal = file.seal.map(({ id, secret }) => ({ id, secret: Buffer.from(secret, 'base64url') }))
  const sound =
    access.length > 0 &&
    seal.length > 0 &&
    access.every(({ kid }) => typeof kid === 'string' && kid !== '') &&
    seal.every(({ id, secret }) => id >= 0 && id <= 255 && secret.length >= SECRET_BYTES)
  if (!sound) throw new Error('a key is missing or too short')
  return { access, seal }
}
