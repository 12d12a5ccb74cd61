/** Timers that end with what they belong to: a worker, or one connected period of it. */
import { InvalidSettingError } from '../errors.ts'
import { LONGEST_TIMER_MS } from '../options.ts'
import type { CancelTimer } from './contexts.ts'

export class Timers {
  readonly #handles = new Set<NodeJS.Timeout>()
  readonly #onError: (error: unknown) => void
  #ended = false

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  readonly callLater = (delayMs: number, callback: () => unknown): CancelTimer => {
    checkMs('callLater', delayMs, 0)
    if (this.#ended) return () => {}
    const handle = setTimeout(() => {
      this.#handles.delete(handle)
      void this.#call(callback)
    }, delayMs)
    this.#handles.add(handle)
    return () => this.#cancel(handle)
  }

  readonly every = (intervalMs: number, callback: () => unknown): CancelTimer => {
    checkMs('every', intervalMs, 1)
    if (this.#ended) return () => {}
    let running = false
    const handle = setInterval(() => {
      if (running) return
      running = true
      void this.#call(callback).finally(() => {
        running = false
      })
    }, intervalMs)
    this.#handles.add(handle)
    return () => this.#cancel(handle)
  }

  /** Cancels all timers; those made afterwards never run. */
  end(): void {
    this.#ended = true
    for (const handle of this.#handles) clearTimeout(handle)
    this.#handles.clear()
  }

  #cancel(handle: NodeJS.Timeout): void {
    clearTimeout(handle)
    this.#handles.delete(handle)
  }

  async #call(callback: () => unknown): Promise<void> {
    try {
      await callback()
    } catch (error) {
      this.#onError(error)
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
