/** A clock that stands still until it is told to go on: then its timers are called one after the other, at their own times. */
import type { Cancel, Clock } from '../time/clock.ts'

interface Timer {
  dueAt: number
  /** Undefined for one that is called once. */
  readonly intervalMs: number | undefined
  readonly callback: () => void
}

export class TestClock implements Clock {
  #now: number
  /** Those of the same time in the order in which they are to be called. */
  readonly #timers = new Set<Timer>()

  /** @param now the time that it begins with, in milliseconds since 1970 */
  constructor(now: number) {
    this.#now = now
  }

  readonly now = (): number => this.#now

  readonly after = (delayMs: number, callback: () => void): Cancel => {
    return this.#add({ dueAt: this.#now + delayMs, intervalMs: undefined, callback })
  }

  readonly every = (intervalMs: number, callback: () => void): Cancel => {
    return this.#add({ dueAt: this.#now + intervalMs, intervalMs, callback })
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#timers.size
  }

  /** How long the next timer waits, in milliseconds; undefined when there is none. */
  get nextInMs(): number | undefined {
    const next = this.#next()
    return next === undefined ? undefined : next.dueAt - this.#now
  }

  /** Goes on to the next timer, and calls it; to `until`, when no timer is due before. @returns whether it called one */
  goOn(until: number): boolean {
    const timer = this.#next()
    if (timer === undefined || timer.dueAt > until) {
      this.#now = Math.max(this.#now, until)
      return false
    }
    this.#timers.delete(timer)
    this.#now = Math.max(this.#now, timer.dueAt)
    if (timer.intervalMs !== undefined) {
      timer.dueAt += timer.intervalMs
      this.#timers.add(timer)
    }
    timer.callback()
    return true
  }

  #add(timer: Timer): Cancel {
    this.#timers.add(timer)
    return () => {
      this.#timers.delete(timer)
    }
  }

  #next(): Timer | undefined {
    let next: Timer | undefined
    for (const timer of this.#timers) if (next === undefined || timer.dueAt < next.dueAt) next = timer
    return next
  }
}
