/**
 * Where time comes from, for all that happens later on purpose: timers of users, batches, retry delays, times to live. Tests put a clock
 * of their own in its place, and drive it by hand. Deadlines of the network are none of it: they go by the system's time always.
 */
import { InvalidSettingError } from '../errors.ts'
import { describe, LONGEST_TIMER_MS } from '../options.ts'

/** Cancels a timer; harmless when it has run. */
export type Cancel = () => void

/** Tells the time, and calls back when some of it has passed. */
export interface Clock {
  /** Milliseconds since 1970. Never goes back. */
  readonly now: () => number
  /** Calls back once, after so many milliseconds. */
  readonly after: (delayMs: number, callback: () => void) => Cancel
  /** Calls back again and again, so many milliseconds apart. */
  readonly every: (intervalMs: number, callback: () => void) => Cancel
}

/** The time of the system, and none of what is done to its calendar meanwhile. Its timers keep the process alive, as those of the runtime do. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  after: (delayMs, callback) => {
    let handle: NodeJS.Timeout
    // one that is to wait for longer than a timer can would run at once
    const wait = (leftMs: number): void => {
      handle =
        leftMs > LONGEST_TIMER_MS
          ? setTimeout(() => wait(leftMs - LONGEST_TIMER_MS), LONGEST_TIMER_MS)
          : setTimeout(callback, leftMs)
    }
    wait(delayMs)
    return () => clearTimeout(handle)
  },
  every: (intervalMs, callback) => {
    const handle = setInterval(callback, intervalMs)
    return () => clearInterval(handle)
  },
}

/** @throws InvalidSettingError unless it can be asked for the time and for timers */
export function checkClock(clock: Clock): void {
  const given = Object(clock) as Partial<Record<string, unknown>>
  const lacking = ['now', 'after', 'every'].find((name) => typeof given[name] !== 'function')
  if (lacking === undefined) return
  const what = typeof clock === 'object' && clock !== null ? `one without the function '${lacking}'` : describe(clock)
  throw new InvalidSettingError('clock', `must be a clock, as that of startBus() of eventail/testing, not ${what}`)
}
