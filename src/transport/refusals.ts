/** The messages that the broker refused for now (nack), and that are to be sent again after a while. */
import { Occasional } from './occasional.ts'

export class Refusals<T> {
  readonly #timers = new Map<T, NodeJS.Timeout>()
  /** Tells of them now and then, however many there are. */
  readonly report = new Occasional()

  get size(): number {
    return this.#timers.size
  }

  /** Keeps a message, and gives it to `again` after so long, and up to a tenth more: so that not all come at the same moment. */
  keep(message: T, delayMs: number, again: (message: T) => void): void {
    const due = (): void => {
      this.#timers.delete(message)
      again(message)
    }
    this.#timers.set(message, setTimeout(due, delayMs * (1 + Math.random() / 10)))
  }

  /** Removes and returns those that are wanted, in order. */
  extract(take: (message: T) => boolean): readonly T[] {
    const taken = [...this.#timers.keys()].filter(take)
    for (const message of taken) {
      clearTimeout(this.#timers.get(message))
      this.#timers.delete(message)
    }
    return taken
  }
}
