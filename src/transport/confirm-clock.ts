/** How long confirms have been waited for: only the time counts in which the broker could have sent them. */
import type { Sent } from './unconfirmed.ts'

/** A line that takes so many times the confirm time-out for what was given to it is not slow: nobody reads at its end. */
const SLOWEST_LINE = 10

export class ConfirmClock {
  readonly #confirmTimeoutMs: number
  /** Before this, no confirm could be expected. */
  #start = 0
  /** What could not leave, and since when. */
  #unsent: { readonly oldest: Sent; readonly since: number } | undefined

  constructor(confirmTimeoutMs: number) {
    this.#confirmTimeoutMs = confirmTimeoutMs
  }

  /** The broker takes messages from now on. */
  restart(): void {
    this.#start = performance.now()
    this.#unsent = undefined
  }

  /**
   * @param oldest of the messages that are not confirmed
   * @param unsentBytes that wait for the line
   * @returns what is overdue, and for how many milliseconds it was waited for: the confirm of the oldest, or that the bytes leave
   */
  overdue(
    oldest: Sent,
    unsentBytes: number,
  ): { readonly what: 'confirm' | 'leaving'; readonly waitedMs: number } | undefined {
    const now = performance.now()
    if (unsentBytes > 0) {
      // on a slow line a large message takes its time: the clock starts when everything has left
      this.#start = now
      if (this.#unsent?.oldest !== oldest) this.#unsent = { oldest, since: now }
      const waitedMs = Math.round(now - this.#unsent.since)
      return waitedMs >= SLOWEST_LINE * this.#confirmTimeoutMs ? { what: 'leaving', waitedMs } : undefined
    }
    this.#unsent = undefined
    const waitedMs = Math.round(now - Math.max(oldest.sentAt, this.#start))
    return waitedMs >= this.#confirmTimeoutMs ? { what: 'confirm', waitedMs } : undefined
  }
}
