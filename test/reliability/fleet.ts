/** Programs that run together and are started again when they die, as a supervisor does it; and how they are killed. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { startGuard } from '../../dev/guard.mjs'

const RESTART_MS = 200

/** A program of the fleet. */
export interface Program {
  readonly name: string
  /** What is run, and with what. */
  readonly command: readonly [string, ...string[]]
  /** Whether it ends by itself when its work is done. */
  readonly ends?: boolean
  /** Told of each process that was killed, before the next one is started. */
  readonly onKilled?: (pid: number) => Promise<void>
}

interface Member {
  readonly program: Program
  child: ChildProcess
  /** The last line that it wrote to stdout. */
  line: string
  /** Resolves when it has ended as it should. */
  readonly ended: Promise<void>
  readonly end: () => void
  hasEnded: boolean
  /** Whether this process was sent a signal. */
  isGoing: boolean
}

export class Fleet implements AsyncDisposable {
  /** What did not go as it should. */
  readonly problems: string[] = []
  readonly #members = new Map<string, Member>()
  readonly #output: WriteStream
  /** Whatever becomes of this process, none of them outlives it. */
  readonly #guard = startGuard()
  #isStopping = false

  /** @param logFile gets what the programs write to stderr */
  constructor(logFile: string) {
    this.#output = createWriteStream(logFile, { flags: 'a' })
  }

  start(program: Program): void {
    let end = (): void => {}
    const ended = new Promise<void>((resolve) => (end = resolve))
    const member: Member = {
      program,
      child: this.#spawn(program),
      line: '',
      ended,
      end,
      hasEnded: false,
      isGoing: false,
    }
    this.#members.set(program.name, member)
    this.#supervise(member)
  }

  /** Those that run, are not done, and were not asked to stop, by name. */
  get running(): string[] {
    return [...this.#members.values()]
      .filter(
        ({ child, hasEnded, isGoing }) => !hasEnded && !isGoing && child.exitCode === null && child.signalCode === null,
      )
      .map(({ program }) => program.name)
  }

  /** Resolves when the program has done its work. */
  ended(name: string): Promise<void> {
    return this.#memberOf(name).ended
  }

  pidOf(name: string): number | undefined {
    return this.#memberOf(name).child.pid
  }

  /** SIGKILL, or another signal, for one program; it is started again. */
  kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): void {
    const member = this.#memberOf(name)
    member.isGoing = true
    member.child.kill(signal)
  }

  /** Stops all with SIGTERM; each must end with status 0, in time, and say that nothing of it is pending. */
  async stop(graceMs = 30_000): Promise<void> {
    this.#isStopping = true
    const stopping = [...this.#members.values()].filter(({ hasEnded }) => !hasEnded)
    await Promise.all(
      stopping.map(async ({ child, program: { name } }) => {
        if (child.exitCode !== null || child.signalCode !== null) {
          this.problems.push(`${name} was not running at the end`)
          return
        }
        const closed = once(child, 'close')
        child.kill('SIGTERM')
        if ((await Promise.race([closed, delay(graceMs, 'late', { ref: false })])) === 'late') {
          this.problems.push(`${name} did not end within ${graceMs} ms of SIGTERM`)
          child.kill('SIGKILL')
          await closed
        } else if (child.exitCode !== 0) this.problems.push(`${name} ended with ${child.exitCode ?? child.signalCode}`)
      }),
    )
    for (const { program, line } of this.#members.values()) {
      if (line !== '{"pending":0}' && line !== '{"pending": 0}')
        this.problems.push(`${program.name} said at its end: ${line}`)
    }
    this.#output.end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true
    for (const { child } of this.#members.values()) child.kill('SIGKILL')
    this.#output.end()
    this.#guard.release()
    await Promise.resolve()
  }

  #memberOf(name: string): Member {
    const member = this.#members.get(name)
    if (member === undefined) throw new Error(`no program '${name}' in the fleet`)
    return member
  }

  #spawn({ command: [program, ...args] }: Program): ChildProcess {
    const child = this.#guard.spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    // this process goes on as long as one of them does
    child.ref()
    child.stderr?.pipe(this.#output, { end: false })
    return child
  }

  #supervise(member: Member): void {
    const { child, program } = member
    if (child.stdout !== null) createInterface(child.stdout).on('line', (line) => (member.line = line))
    child.once('close', (code, signal) => {
      if (program.ends === true && code === 0) {
        member.hasEnded = true
        member.end()
      } else void this.#restart(member, code, signal)
    })
  }

  async #restart(member: Member, code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    const { program, child } = member
    if (this.#isStopping) return
    // one that is asked to stop ends with 0; one that ends by itself must not
    if (signal === null && code !== 0) this.problems.push(`${program.name} ended by itself with ${code}`)
    await delay(RESTART_MS)
    if (signal !== null && child.pid !== undefined) {
      await program.onKilled?.(child.pid).catch((error: unknown) => this.problems.push(String(error)))
    }
    if (this.#isStopping) return
    member.child = this.#spawn(program)
    member.isGoing = false
    this.#supervise(member)
  }
}
