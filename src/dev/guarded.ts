/** Starting programs that do not outlive this one, even if it is killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Launch } from './launch.ts'

export class Guard {
  readonly #guard: ChildProcess

  constructor() {
    this.#guard = spawn(process.execPath, guardArguments(), {
      // it must not get the signals of this program's terminal
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    // a guard that is gone can be told nothing
    this.#guard.on('error', () => {})
    this.#guard.stdin?.on('error', () => {})
    this.#guard.unref()
  }

  /**
   * Starts a program in a process group of its own: a Ctrl-C in the terminal is not for it but for this program, which stops it in good order.
   * What it started itself and left behind ends with it.
   */
  spawn({ command, args }: Launch, env: NodeJS.ProcessEnv): ChildProcess {
    const child = spawn(command, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    const { pid } = child
    if (pid !== undefined) {
      this.#tell(`+${pid}`)
      child.once('exit', () => {
        killGroup(pid)
        this.#tell(`-${pid}`)
      })
    }
    return child
  }

  /** To be called when all programs have ended. */
  release(): void {
    this.#guard.stdin?.end()
  }

  #tell(line: string): void {
    this.#guard.stdin?.write(`${line}\n`)
  }
}

/** Kills a program and what it started. */
export function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // nothing of it is left
  }
}

/** Of the package as built the guard is beside the file that this has become a part of. Run from source, it is TypeScript. */
function guardArguments(): readonly string[] {
  if (extname(import.meta.url) === '.js') return [fileURLToPath(new URL('./guard.js', import.meta.url))]
  return ['--import', import.meta.resolve('tsx'), fileURLToPath(new URL('./guard.ts', import.meta.url))]
}
