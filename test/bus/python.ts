/**
 * A peer in Python: a script that reads lines of JSON on its standard input and writes lines of JSON on its standard
 * output. It is killed when the test that started it ends. Needs the packages python3-pika and python3-cbor2.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const PYTHON = '/usr/bin/python3'

interface Waiter {
  readonly resolve: (line: string) => void
  readonly reject: (error: Error) => void
}

export class Python {
  /** Everything that it has written so far. */
  readonly lines: string[] = []
  /** Resolves when it has ended, with its exit code; null when a signal ended it. */
  readonly ended: Promise<number | null>
  readonly #script: string
  readonly #process: ChildProcessWithoutNullStreams
  #given = 0
  #waiting: Waiter[] = []
  #hasEnded = false
  #errors = ''

  private constructor(script: URL, args: readonly string[]) {
    this.#script = fileURLToPath(script)
    this.#process = spawn(PYTHON, ['-u', this.#script, ...args])
    this.#process.on('error', (error) => {
      this.#errors += String(error)
    })
    this.#process.stdin.on('error', () => {})
    this.#process.stderr.on('data', (bytes: Buffer) => {
      this.#errors += bytes.toString('utf8')
    })
    const output = createInterface({ input: this.#process.stdout })
    output.on('line', (line) => {
      this.lines.push(line)
      const waiter = this.#waiting.shift()
      if (waiter === undefined) return
      this.#given += 1
      waiter.resolve(line)
    })
    this.ended = new Promise((resolve) => {
      this.#process.once('close', (code) => {
        this.#hasEnded = true
        for (const { reject } of this.#waiting) reject(this.#failure('ended'))
        resolve(code)
      })
    })
  }

  /** Starts a script for the rest of the test that calls this. */
  static start(script: URL, ...args: string[]): Python {
    const peer = new Python(script, args)
    onTestFinished(() => peer.kill())
    return peer
  }

  /** The next line that it writes. @throws Error with what it wrote to stderr, when none comes in time */
  async nextLine({ timeoutMs = 5000 } = {}): Promise<string> {
    const ready = this.lines[this.#given]
    if (ready !== undefined) {
      this.#given += 1
      return ready
    }
    if (this.#hasEnded) throw this.#failure('ended')
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((candidate) => candidate !== waiter)
        reject(this.#failure(`wrote nothing within ${timeoutMs} ms`))
      }, timeoutMs)
      const waiter: Waiter = {
        resolve: (line) => {
          clearTimeout(timer)
          resolve(line)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      }
      this.#waiting.push(waiter)
    })
  }

  /** The next line, which is a JSON object. */
  async next(options?: { timeoutMs?: number }): Promise<Record<string, unknown>> {
    return JSON.parse(await this.nextLine(options)) as Record<string, unknown>
  }

  /** Writes a line of JSON to its standard input. */
  tell(message: object): void {
    this.#process.stdin.write(`${JSON.stringify(message)}\n`)
  }

  /** Closes its standard input, which asks it to finish, and waits until it has. @returns its exit code */
  stop(): Promise<number | null> {
    this.#process.stdin.end()
    return this.ended
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.ended
  }

  #failure(problem: string): Error {
    const errors = this.#errors === '' ? '' : `; on stderr:\n${this.#errors}`
    return new Error(`${PYTHON} ${this.#script} ${problem} (exit code ${this.#process.exitCode})${errors}`)
  }
}
