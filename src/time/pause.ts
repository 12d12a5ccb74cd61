/** Waiting by a clock. */
import type { Clock } from './clock.ts'

/** Waits so many milliseconds, not at all when there are none, or until the signal aborts. Never throws. */
export function pauseBy(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted || ms <= 0) return resolve()
    const done = (): void => {
      cancel()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const cancel = clock.after(ms, done)
    signal.addEventListener('abort', done, { once: true })
  })
}
