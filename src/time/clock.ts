/**
 * Where time comes from, for all that happens later on purpose: timers of users, batches, retry delays, times to live. Tests put a clock
 * of their own in its place, and drive it by hand. Deadlines of the network are none of it: they go by the system's time always.
 */

/** Cancels a timer; harmless when it has run. */
export type Cancel = () => void

export interface Clock {
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Calls back once, after so many milliseconds. */
  readonly after: (delayMs: number, callback: () => void) => Cancel
  /** Calls back again and again, so many milliseconds apart. */
  readonly every: (intervalMs: number, callback: () => void) => Cancel
}

/** The time of the system. Its timers keep the process alive, as those of the runtime do. */
export const SYSTEM_CLOCK: Clock = {
  now: Date.now,
  after: (delayMs, callback) => {
    const handle = setTimeout(callback, delayMs)
    return () => clearTimeout(handle)
  },
  every: (intervalMs, callback) => {
    const handle = setInterval(callback, intervalMs)
    return () => clearInterval(handle)
  },
}
