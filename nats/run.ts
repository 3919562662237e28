import { execFile } from 'node:child_process'

/** Enough of a failed tool's output to see why. */
const KEPT = 400

/** Runs a tool to its end; throws with the last of what it printed when it fails or takes too long. */
export const run = (
  command: string,
  args: readonly string[],
  options: { timeoutMs: number; env?: Readonly<Record<string, string>> },
): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile(
      command,
      args,
      {
        timeout: options.timeoutMs,
        killSignal: 'SIGKILL',
        env: { ...process.env, ...options.env },
        maxBuffer: 16 * 1024 * 1024,
      },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout)
        if (error.code === 'ENOENT') return reject(new Error(`${command} is not installed`))
        const why = error.killed ? `took longer than ${options.timeoutMs / 1000} s` : 'failed'
        const output = `${stdout}${stderr}`.trim().slice(-KEPT)
        reject(new Error(`${command} ${args[0] ?? ''} ${why}${output === '' ? '' : `: ${output}`}`))
      },
    )
  })
