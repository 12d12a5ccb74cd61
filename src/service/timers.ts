/** Timers that end with what they belong to: a worker, or one connected period of it. */
import { InvalidSettingError } from '../errors.ts'
import { LONGEST_TIMER_MS } from '../options.ts'
import type { Cancel, Clock } from '../time/clock.ts'
import type { CancelTimer } from './contexts.ts'

/** A hook that runs, or the callback of a timer. */
export interface RunningCall {
  readonly name: string
}

export class Timers {
  readonly #clock: Clock
  readonly #running: Set<RunningCall>
  readonly #pending = new Set<Cancel>()
  readonly #onError: (error: unknown) => void
  #ended = false

  /** @param running has the callbacks that run */
  constructor(clock: Clock, running: Set<RunningCall>, onError: (error: unknown) => void) {
    this.#clock = clock
    this.#running = running
    this.#onError = onError
  }

  readonly callLater = (delayMs: number, callback: () => unknown): CancelTimer => {
    checkMs('callLater', delayMs, 0)
    if (this.#ended) return () => {}
    const cancel = this.#clock.after(delayMs, () => {
      this.#pending.delete(cancel)
      void this.#call('callLater', callback)
    })
    return this.#keep(cancel)
  }

  readonly every = (intervalMs: number, callback: () => unknown): CancelTimer => {
    checkMs('every', intervalMs, 1)
    if (this.#ended) return () => {}
    let running = false
    const cancel = this.#clock.every(intervalMs, () => {
      if (running) return
      running = true
      void this.#call('every', callback).finally(() => {
        running = false
      })
    })
    return this.#keep(cancel)
  }

  /** Cancels all timers; those made afterwards never run. */
  end(): void {
    this.#ended = true
    for (const cancel of this.#pending) cancel()
    this.#pending.clear()
  }

  #keep(cancel: Cancel): CancelTimer {
    this.#pending.add(cancel)
    return () => {
      cancel()
      this.#pending.delete(cancel)
    }
  }

  async #call(name: string, callback: () => unknown): Promise<void> {
    const call = { name }
    this.#running.add(call)
    try {
      await callback()
    } catch (error) {
      this.#onError(error)
    } finally {
      this.#running.delete(call)
    }
  }
}

/** @throws InvalidSettingError: the runtime would take anything else for one millisecond */
function checkMs(timer: string, ms: unknown, least: number): void {
  if (typeof ms === 'number' && ms >= least && ms <= LONGEST_TIMER_MS) return
  throw new InvalidSettingError(
    timer,
    `takes milliseconds from ${least} to ${LONGEST_TIMER_MS} (24 days), not ${String(ms)}`,
  )
}
