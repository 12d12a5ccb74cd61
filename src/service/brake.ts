/**
 * The outage brake: when a handler has failed so many times in a row, what it depends on is taken to be down. Its messages are then
 * tried one at a time, ever more slowly, and none is given up for it, until one succeeds.
 */
import { pause } from '../transport/reconnect.ts'
import type { Handler } from './handlers.ts'

/** When the outage brake takes hold. */
export interface OutageBrake {
  /** Failures of one handler in a row, of whatever messages. @default 10 */
  readonly afterFailures?: number
  /** The longest pause between two tries, in milliseconds; the first is 1 s, each further one twice as long. @default 30_000 */
  readonly maxDelayMs?: number
}

interface State {
  failures: number
  /** Until when nobody may try, by the monotonic clock. */
  until: number
  isTrying: boolean
  /** Those who wait for their turn, in order. */
  readonly waiting: (() => void)[]
}

const FIRST_DELAY_MS = 1_000

export class Brake {
  readonly #afterFailures: number
  readonly #maxDelayMs: number
  readonly #tell: (level: 'EMERGENCY' | 'NOTICE', text: string) => void
  readonly #states = new Map<Handler, State>()

  constructor(
    { afterFailures, maxDelayMs }: Required<OutageBrake>,
    tell: (level: 'EMERGENCY' | 'NOTICE', text: string) => void,
  ) {
    this.#afterFailures = afterFailures
    this.#maxDelayMs = maxDelayMs
    this.#tell = tell
  }

  /** Whether the messages of a handler are held back. */
  isOn(handler: Handler): boolean {
    return (this.#states.get(handler)?.failures ?? 0) >= this.#afterFailures
  }

  /** Waits until the handler may be tried. @returns false when the signal aborted before */
  async turn(handler: Handler, signal: AbortSignal): Promise<boolean> {
    while (this.isOn(handler)) {
      const state = this.#stateOf(handler)
      if (signal.aborted) return false
      if (!state.isTrying) {
        state.isTrying = true
        await pause(state.until - performance.now(), signal)
        if (!signal.aborted) return true
        this.#release(state)
        return false
      }
      await new Promise<void>((resolve) => {
        state.waiting.push(resolve)
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    }
    return !signal.aborted
  }

  succeeded(handler: Handler): void {
    const state = this.#states.get(handler)
    if (state === undefined) return
    if (this.isOn(handler))
      this.#tell('NOTICE', `'${handler.key}' is handled again, after ${state.failures} failures in a row`)
    this.#states.delete(handler)
    for (const go of state.waiting) go()
  }

  failed(handler: Handler): void {
    const state = this.#stateOf(handler)
    state.failures += 1
    const beyond = state.failures - this.#afterFailures
    if (beyond < 0) return
    const delayMs = Math.min(this.#maxDelayMs, FIRST_DELAY_MS * 2 ** Math.min(beyond, 20))
    state.until = performance.now() + delayMs
    if (beyond === 0)
      this.#tell(
        'EMERGENCY',
        `handling '${handler.key}' failed ${state.failures} times in a row: its messages are held back, and tried one at a time`,
      )
    this.#release(state)
  }

  #stateOf(handler: Handler): State {
    const known = this.#states.get(handler)
    if (known !== undefined) return known
    const state: State = { failures: 0, until: 0, isTrying: false, waiting: [] }
    this.#states.set(handler, state)
    return state
  }

  /** The turn is the next one's. */
  #release(state: State): void {
    state.isTrying = false
    state.waiting.shift()?.()
  }
}
