/**
 * A service as a process that is kept running: started again at once when its code changes, and with a growing delay when it fails. One that
 * ends without an error has done what it had to do, until its code changes.
 */
import type { ChildProcess } from 'node:child_process'
import { type Guard, killGroup } from './guarded.ts'
import { launchOf } from './launch.ts'
import { eachLine } from './output-lines.ts'

export interface SupervisedServiceOptions {
  /** Its absolute path. */
  readonly file: string
  /** What it is called in what is said of it. */
  readonly name: string
  readonly env: NodeJS.ProcessEnv
  readonly guard: Guard
  /** Takes a line that it wrote, escaped. */
  readonly onLine: (line: string) => void
  /** Takes what becomes of it. */
  readonly note: (text: string) => void
}

const FIRST_DELAY_MS = 1_000
const LONGEST_DELAY_MS = 30_000
/** One that lived for longer is started again as if it had never failed. */
const HEALTHY_MS = 10_000
/** A service that is asked to stop finishes what it has in hand, for 10 s by default. */
const STOP_TIMEOUT_MS = 12_000
/** How long what it wrote last may take to come, once it has ended. */
const LAST_WORDS_MS = 500
/** Beyond this it is no longer waited for, whether it said that it works or not. */
const READY_TIMEOUT_MS = 3_000

export class SupervisedService {
  readonly file: string
  readonly #options: SupervisedServiceOptions
  #child: ChildProcess | undefined
  #killTimer: NodeJS.Timeout | undefined
  #isStopping = false
  #hasChanged = false
  /** Ends the wait for the next start. */
  #wake: () => void = () => {}
  #onReady: () => void = () => {}
  #life: Promise<void> = Promise.resolve()

  constructor(options: SupervisedServiceOptions) {
    this.#options = options
    this.file = options.file
  }

  /** Resolves when it works, has ended, or takes long to say so. Never rejects. */
  async start(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const ready = new Promise<void>((resolve) => {
      this.#onReady = resolve
      timer = setTimeout(resolve, READY_TIMEOUT_MS)
    })
    this.#life = this.#live()
    await ready
    clearTimeout(timer)
  }

  /** A process works, by its own word. */
  isReady(pid: number): void {
    if (this.#child?.pid === pid) this.#onReady()
  }

  /** Its code has changed: it is stopped in good order, and started again. */
  change(): void {
    if (this.#isStopping) return
    if (!this.#hasChanged) this.#options.note(`${this.#options.name} is started again: its code changed`)
    this.#hasChanged = true
    this.#askToEnd()
    this.#wake()
  }

  /** Stops it in good order. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#askToEnd()
    this.#wake()
    await this.#life
  }

  async #live(): Promise<void> {
    let delayMs = FIRST_DELAY_MS
    while (!this.#isStopping) {
      this.#hasChanged = false
      const began = performance.now()
      const end = await this.#runOnce()
      this.#onReady()
      if (this.#isStopping) return
      if (this.#hasChanged) {
        delayMs = FIRST_DELAY_MS
        continue
      }
      if (performance.now() - began > HEALTHY_MS) delayMs = FIRST_DELAY_MS
      const { name, note } = this.#options
      if (end === undefined) note(`${name} has ended; it is started again when its code changes`)
      else note(`${name} ${end}; it is started again in ${delayMs / 1000} s, or when its code changes`)
      await this.#pause(end === undefined ? undefined : delayMs)
      delayMs = this.#hasChanged ? FIRST_DELAY_MS : Math.min(delayMs * 2, LONGEST_DELAY_MS)
    }
  }

  /** @returns how it failed; undefined when it did not */
  async #runOnce(): Promise<string | undefined> {
    const { file, env, guard, onLine } = this.#options
    let child: ChildProcess
    try {
      child = guard.spawn(launchOf(file), env)
    } catch (error) {
      return `cannot be started: ${error instanceof Error ? error.message : String(error)}`
    }
    this.#child = child
    const streams = [child.stdout, child.stderr].filter((stream) => stream !== null)
    for (const stream of streams) eachLine(stream, onLine)
    let timer: NodeJS.Timeout | undefined
    // what it left behind in a group of its own may hold them open, and so keep it from closing
    child.once('exit', () => {
      timer = setTimeout(() => streams.forEach((stream) => stream.destroy()), LAST_WORDS_MS)
    })
    const end = await new Promise<string | undefined>((resolve) => {
      child.once('error', (error) => resolve(`cannot be started: ${error.message}`))
      child.once('close', (code, signal) => resolve(code === 0 ? undefined : `died (${signal ?? `exit code ${code}`})`))
    })
    clearTimeout(timer)
    clearTimeout(this.#killTimer)
    this.#killTimer = undefined
    this.#child = undefined
    return end
  }

  #askToEnd(): void {
    const child = this.#child
    // a second signal would end it at once
    if (child === undefined || this.#killTimer !== undefined) return
    child.kill('SIGTERM')
    this.#killTimer = setTimeout(() => {
      this.#options.note(`${this.#options.name} does not stop, and is killed`)
      if (child.pid !== undefined) killGroup(child.pid)
    }, STOP_TIMEOUT_MS)
  }

  /** @param delayMs undefined: until it is told to go on */
  async #pause(delayMs: number | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      if (this.#isStopping || this.#hasChanged) resolve()
      if (delayMs !== undefined) timer = setTimeout(resolve, delayMs)
    })
    clearTimeout(timer)
  }
}
