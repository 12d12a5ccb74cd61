/** What a channel or connection was told by its broker and the scenario has not taken yet. */
import type { Transcript } from './transcript.ts'
import type { Frame } from './vocabulary.ts'

export const PATIENCE_MS = 8000

export class Events {
  readonly #who: string
  readonly #transcript: Transcript
  #waiting: Frame[] = []
  #wake: () => void = () => {}

  constructor(who: string, transcript: Transcript) {
    this.#who = who
    this.#transcript = transcript
  }

  add(event: Frame): void {
    this.#waiting.push(event)
    this.#wake()
  }

  /** Takes the first that fits, as soon as it is there. */
  async take(what: string, fits: (event: Frame) => boolean): Promise<Frame> {
    const deadline = Date.now() + PATIENCE_MS
    for (;;) {
      const index = this.#waiting.findIndex(fits)
      const [event] = index === -1 ? [] : this.#waiting.splice(index, 1)
      if (event !== undefined) return event
      const leftMs = deadline - Date.now()
      if (leftMs <= 0) throw new Error(`${this.#who} got no ${what}, but ${JSON.stringify(this.#waiting)}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** @returns how many there were */
  drop(fits: (event: Frame) => boolean): number {
    const before = this.#waiting.length
    this.#waiting = this.#waiting.filter((event) => !fits(event))
    return before - this.#waiting.length
  }

  get size(): number {
    return this.#waiting.length
  }

  writeLeftOver(): void {
    const lines = this.#waiting.map(({ method, ...fields }) => `${method} ${JSON.stringify(fields)}`)
    for (const line of lines.toSorted()) this.#transcript.add(this.#who, `was also told ${line}`)
    this.#waiting = []
  }
}
