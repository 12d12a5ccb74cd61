/** The command line as a child process, as an operator starts it. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Ended {
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

/** A command that runs; killed when its test ends before it. */
export class Eventail implements AsyncDisposable {
  readonly child: ChildProcessWithoutNullStreams
  stdout = ''
  stderr = ''
  readonly ended: Promise<Ended>

  /** @param url of the broker, given in the environment; '' for none @param cwd the project's folder, unless it is given */
  constructor(url: string, args: readonly string[], input?: string | Uint8Array, cwd = root) {
    const { EVENTAIL_AMQP_URL: _url, AMQP_URL: _other, NO_COLOR: _colour, ...env } = process.env
    this.child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), ...args], {
      cwd,
      env: url === '' ? env : { ...env, EVENTAIL_AMQP_URL: url },
    })
    this.child.stdout.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()))
    this.child.stderr.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()))
    this.child.stdin.on('error', () => {})
    this.child.stdin.end(input)
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) =>
        resolve({ code: code ?? signal ?? 'gone', stdout: this.stdout, stderr: this.stderr }),
      )
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }
}

/** Runs a command to its end. */
export function eventail(url: string, args: readonly string[], input?: string | Uint8Array): Promise<Ended> {
  return new Eventail(url, args, input).ended
}

/** The lines of an output, as the JSON objects that they are. */
export function objectsOf(stdout: string): readonly Record<string, unknown>[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}
