/** What a program of the pipeline wrote down, one number a line, read while it grows. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'

export class Ledger {
  /** How often each number is in there. */
  readonly counts = new Map<string, number>()
  /** All lines, in order: a number, and the process that wrote it. */
  readonly lines: (readonly [seq: string, pid: string])[] = []
  readonly #file: string
  #offset = 0
  #rest = ''

  constructor(file: string) {
    this.#file = file
  }

  /** Different numbers. */
  get unique(): number {
    return this.counts.size
  }

  /** Lines beyond the first of each number. */
  get repeated(): number {
    return this.lines.length - this.counts.size
  }

  /** Reads what was written since the last time. */
  read(): this {
    if (!existsSync(this.#file)) return this
    const file = openSync(this.#file, 'r')
    try {
      const buffer = Buffer.alloc(fstatSync(file).size - this.#offset)
      this.#offset += readSync(file, buffer, 0, buffer.length, this.#offset)
      const lines = (this.#rest + buffer.toString('latin1')).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) this.#add(line)
    } finally {
      closeSync(file)
    }
    return this
  }

  #add(line: string): void {
    const [seq = '', pid = ''] = line.split(' ')
    this.lines.push([seq, pid])
    this.counts.set(seq, (this.counts.get(seq) ?? 0) + 1)
  }
}
