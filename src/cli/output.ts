/**
 * Standard output, written without ever blocking the process: a reader that stops reading must not stop the heartbeats,
 * and whoever prints can see how far behind the reader is.
 */
import { write } from 'node:fs'

const STDOUT = 1
const RETRY_MS = 5

export class Output {
  readonly #onGone: (error: NodeJS.ErrnoException) => void
  #isGone = false
  #lines: string[] = []
  #bytes = 0
  #writing: Promise<void> | undefined

  /** @param onGone told, once, when nothing can be written any more: nobody reads (EPIPE), or worse */
  constructor(onGone: (error: NodeJS.ErrnoException) => void) {
    this.#onGone = onGone
  }

  /** What was printed and is not out yet, in characters. */
  get backlog(): number {
    return this.#bytes
  }

  print(line: string): void {
    if (this.#isGone) return
    this.#lines.push(`${line}\n`)
    this.#bytes += line.length + 1
    this.#writing ??= this.#writeAll()
  }

  /** Resolves when everything is out. */
  async drained(): Promise<void> {
    await this.#writing
  }

  async #writeAll(): Promise<void> {
    // lines of one turn of the event loop go out together
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#lines.length > 0) {
      const text = this.#lines.join('')
      this.#lines = []
      await this.#write(Buffer.from(text))
      this.#bytes -= text.length
    }
    this.#writing = undefined
  }

  async #write(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const result = await new Promise<number | NodeJS.ErrnoException>((resolve) =>
        write(STDOUT, bytes, at, (error, written) => resolve(error ?? written)),
      )
      if (typeof result === 'number') at += result
      else if (result.code === 'EAGAIN') await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      else {
        this.#isGone = true
        this.#lines = []
        this.#onGone(result)
        return
      }
    }
  }
}
