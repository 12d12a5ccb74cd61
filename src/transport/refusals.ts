/** The messages that the broker refused for now (nack), and that are to be sent again after a while. */
import { type Cancel, type Clock, SYSTEM_CLOCK } from '../time/clock.ts'
import { Occasional } from './occasional.ts'

export class Refusals<T> {
  readonly #clock: Clock
  readonly #timers = new Map<T, Cancel>()
  /** Tells of them now and then, however many there are. */
  readonly report = new Occasional()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#timers.size
  }

  /**
   * Keeps a message, and gives it to `again` after so long, and up to a tenth more: so that not all come at the same moment. A clock that
   * is driven by hand is exact.
   */
  keep(message: T, delayMs: number, again: (message: T) => void): void {
    const due = (): void => {
      this.#timers.delete(message)
      again(message)
    }
    const spread = this.#clock === SYSTEM_CLOCK ? Math.random() / 10 : 0
    this.#timers.set(message, this.#clock.after(delayMs * (1 + spread), due))
  }

  /** Removes and returns those that are wanted, in order. */
  extract(take: (message: T) => boolean): readonly T[] {
    const taken = [...this.#timers.keys()].filter(take)
    for (const message of taken) {
      this.#timers.get(message)?.()
      this.#timers.delete(message)
    }
    return taken
  }
}
