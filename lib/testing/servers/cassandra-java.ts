import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { run } from '../../../nats/run.ts'

/** The only one that Cassandra 5.0 runs on with the options used here; newer ones lack what it asks for. */
const MAJOR = 17
const VERSION_MS = 20_000
const HOMES = '/usr/lib/jvm'

export type Java = { readonly path: string; readonly home: string; readonly version: string }

export type JavaPlaces = {
  readonly javaHome?: string | undefined
  readonly path?: string | undefined
  /** A folder of installed Javas. */
  readonly homes?: string
}

/** `17.0.15` of what `java -version` prints. */
export const versionIn = (text: string): string | undefined => /version "([^"]+)"/.exec(text)?.[1]

const candidates = ({ javaHome, path = '', homes = HOMES }: JavaPlaces): string[] => {
  const dirs = [
    ...(javaHome === undefined || javaHome === '' ? [] : [join(javaHome, 'bin')]),
    ...path.split(delimiter).filter((dir) => dir !== ''),
    ...(existsSync(homes) ? readdirSync(homes).sort() : []).map((name) => join(homes, name, 'bin')),
  ]
  return [...new Set(dirs.map((dir) => join(dir, 'java')))].filter((java) => existsSync(java))
}

/** Java 17 in JAVA_HOME, PATH or /usr/lib/jvm. @throws Error that says what was found instead and what to install */
export const findJava = async (
  places: JavaPlaces = { javaHome: process.env.JAVA_HOME, path: process.env.PATH },
): Promise<Java> => {
  const others: string[] = []
  for (const path of candidates(places)) {
    const printed = await run('sh', ['-c', '"$0" -version 2>&1', path], {
      timeoutMs: VERSION_MS,
    }).catch((error: Error) => error.message)
    const version = versionIn(printed)
    if (version?.split('.')[0] === String(MAJOR)) {
      return { path, home: dirname(dirname(realpathSync(path))), version }
    }
    others.push(`${path} is ${version === undefined ? 'no Java that runs' : `Java ${version}`}`)
  }
  const found = others.length === 0 ? 'there is none' : others.join(', ')
  throw new Error(
    `Cassandra needs Java ${MAJOR} in JAVA_HOME, PATH or ${HOMES}: ${found}; install OpenJDK ${MAJOR} (Debian: openjdk-${MAJOR}-jre-headless)`,
  )
}
