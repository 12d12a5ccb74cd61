/** Tells of a kind of trouble now and then, however often it happens. */

/** What may happen with every message is told once in this time. */
const QUIET_MS = 60_000

export class Occasional {
  #last = Number.NEGATIVE_INFINITY

  /** Calls back, unless it did so within the last minute. */
  tell(report: () => void): void {
    const now = performance.now()
    if (now - this.#last < QUIET_MS) return
    this.#last = now
    report()
  }
}
