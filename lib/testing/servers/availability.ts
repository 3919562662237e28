/**
 * The rule for servers that tests need and that a machine may lack: without one the tests that need it are skipped
 * and say so aloud; under CI=true they fail, since a skipped test that nobody sees proves nothing.
 */

/** What of the environment counts; `say` is where a person sees it. */
export type Surroundings = {
  readonly ci?: string | undefined
  readonly say?: (line: string) => void
}

/**
 * For the `skip` of a tap test: false when `find` finds what it takes to start the server, else the reason in words.
 * `find` throws an Error that says what is missing and how to get it. @throws Error with that reason, under CI=true
 *
 * @example const skip = await skipWithout('PostgreSQL', findPostgres)
 *          t.test('on a real server', { skip }, async (t) => { … })
 */
export const skipWithout = async (
  server: string,
  find: () => unknown,
  { ci = process.env.CI, say = console.error }: Surroundings = {},
): Promise<string | false> => {
  try {
    await find()
    return false
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const reason = `no ${server} for these tests: ${why}`
    if (ci === 'true') throw new Error(`${reason} (CI=true: not skipped)`, { cause: error })
    say(`SKIPPED: ${reason}`)
    return reason
  }
}
