/** Starting programs that do not outlive this one, even if it is killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { platform } from 'node:os'
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
  spawn(launch: Launch, env: NodeJS.ProcessEnv): ChildProcess {
    // there are no process groups, and so no guard
    if (platform() === 'win32') return spawn(launch.command, launch.args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const { command, args } = announced(launch)
    const { stdin } = this.#guard
    const child = spawn(command, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe', stdin ?? 'ignore'] })
    const { pid } = child
    if (pid !== undefined)
      child.once('exit', () => {
        killGroup(pid)
        stdin?.write(`-${pid}\n`)
      })
    return child
  }

  /** To be called when all programs have ended. */
  release(): void {
    this.#guard.stdin?.end()
  }
}

/**
 * The program, which first tells the guard of itself: this program may be killed before it could. Behind that the guard's pipe is closed, and
 * so has an end when this program has.
 */
function announced({ command, args }: Launch): Launch {
  return { command: '/bin/sh', args: ['-c', 'echo "+$$" >&3; exec "$@" 3>&-', 'sh', command, ...args] }
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
