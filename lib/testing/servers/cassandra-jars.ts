/**
 * Cassandra as Maven artifacts in the project's cache: `cassandra/5.0.8/*.jar`. Fetched into a folder of its own and
 * moved into place, so that several processes may do it at once and none sees half of it.
 */
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDir } from '../../../nats/cache-dir.ts'
import { run } from '../../../nats/run.ts'
import { findJava, type Java } from './cassandra-java.ts'

export const CASSANDRA = '5.0.8'
const COPY = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'
const FETCH_MS = 600_000

/** Left out: drivers and a profiler, which the server does not use. */
const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>parley</groupId>
  <artifactId>cassandra-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.cassandra</groupId>
      <artifactId>cassandra-all</artifactId>
      <version>${CASSANDRA}</version>
      <exclusions>
        <exclusion><groupId>org.apache.cassandra</groupId><artifactId>cassandra-driver-core</artifactId></exclusion>
        <exclusion><groupId>com.datastax.cassandra</groupId><artifactId>cassandra-driver-core</artifactId></exclusion>
        <exclusion><groupId>org.gridkit.jvmtool</groupId><artifactId>*</artifactId></exclusion>
        <exclusion><groupId>org.gridkit.lab</groupId><artifactId>*</artifactId></exclusion>
      </exclusions>
    </dependency>
  </dependencies>
</project>
`

export type Installed = {
  readonly java: Java
  readonly jars: readonly string[]
  /** Where the class-data archive of this Java and these jars is, or would be. */
  readonly archive: string
}

const jarsIn = async (dir: string): Promise<string[]> =>
  (await readdir(dir).catch(() => []))
    .filter((name) => name.endsWith('.jar'))
    .sort()
    .map((name) => join(dir, name))

const fetchJars = async (home: string, dir: string, java: Java): Promise<void> => {
  await mkdir(home, { recursive: true })
  const work = await mkdtemp(join(home, 'fetch-'))
  try {
    await writeFile(join(work, 'pom.xml'), POM)
    const args = ['-B', '-q', '-f', join(work, 'pom.xml'), COPY, '-DincludeScope=runtime']
    await run('mvn', [...args, `-DoutputDirectory=${join(work, 'jars')}`], {
      timeoutMs: FETCH_MS,
      env: { JAVA_HOME: java.home },
    })
    // Another process may have been faster: its folder is as good.
    await rename(join(work, 'jars'), dir).catch(async (error: unknown) => {
      if ((await jarsIn(dir)).length === 0) throw error
    })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Finds Java and finds or fetches Cassandra (65 MB, once). @throws Error that says what is missing */
export const findCassandra = async (say: (line: string) => void = () => {}): Promise<Installed> => {
  const java = await findJava()
  const home = join(cacheDir(), 'cassandra')
  const dir = join(home, CASSANDRA)
  let jars = await jarsIn(dir)
  if (jars.length === 0) {
    say(`fetching Cassandra ${CASSANDRA} with Maven (65 MB, once)`)
    await fetchJars(home, dir, java).catch((error: Error) => {
      throw new Error(
        `Cassandra ${CASSANDRA} could not be fetched: ${error.message}; install Maven 3`,
      )
    })
    jars = await jarsIn(dir)
  }
  return { java, jars, archive: join(home, `classes-${CASSANDRA}-java-${java.version}.jsa`) }
}
