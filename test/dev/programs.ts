/** Programs that tests start, their output, and what the system knows of them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** A program that runs; killed when its test ends before it. */
export class Program implements AsyncDisposable {
  readonly child: ChildProcess
  /** What it wrote so far, stdout and stderr. */
  output = ''
  readonly #ended: Promise<number | string>

  /** Starts `node` in the project's folder. `undefined` in `env` removes a variable. */
  constructor(args: readonly string[], env: Record<string, string | undefined> = {}) {
    const environment = Object.entries({ ...process.env, ...env }).filter(([, value]) => value !== undefined)
    this.child = spawn(process.execPath, args, {
      cwd: root,
      env: Object.fromEntries(environment),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const keep = (chunk: Buffer): void => {
      this.output += chunk.toString()
    }
    this.child.stdout?.on('data', keep)
    this.child.stderr?.on('data', keep)
    this.#ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => resolve(code ?? signal ?? 'gone'))
    })
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  /** The output as lines, without colours. */
  get lines(): readonly string[] {
    return stripVTControlCharacters(this.output).split('\n')
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Resolves with the exit code, or the signal, once it has ended. */
  get ended(): Promise<number | string> {
    return this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#ended
  }
}

/** Processes, but for zombies, whose command line or environment holds each of these texts. */
export function processesWith(...texts: readonly string[]): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) return false
    try {
      const known = ['cmdline', 'environ'].map((file) => readFileSync(`/proc/${pid}/${file}`, 'latin1')).join()
      return texts.every((text) => known.includes(text))
    } catch {
      // it is gone, or not ours
      return false
    }
  })
}
