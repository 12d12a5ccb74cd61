/**
 * The outage brake: when a handler has failed so many times in a row, what it depends on is taken to be down. Its messages are then
 * tried one at a time, ever more slowly, and none is given up for it, until one succeeds.
 */
import type { Logger } from '../log/logger.ts'
import type { Clock } from '../time/clock.ts'
import { pauseBy } from '../time/pause.ts'
import type { Handler } from './handlers.ts'

/** When the outage brake takes hold. */
export interface OutageBrake {
  /** Failures of one handler in a row, of whatever messages. @default 10 */
  readonly afterFailures?: number
  /** The longest pause between two tries, in milliseconds; the first is 1 s, each further one twice as long. @default 30_000 */
  readonly maxDelayMs?: number
}

/** How a try ended: 'neither' when it says nothing of what the handler depends on (connection lost, message refused…). */
export type TryOutcome = 'succeeded' | 'failed' | 'neither'

/** The right to try a handler. Has to be ended, however the try ends; only the first end counts. */
export interface Turn {
  readonly end: (outcome: TryOutcome) => void
}

interface State {
  failures: number
  /** Tries that failed since it took hold. */
  failedTries: number
  /** Until when nobody may try. */
  until: number
  isTrying: boolean
  /** Those who wait for their turn, in order. */
  readonly waiting: Set<() => void>
}

const FIRST_DELAY_MS = 1_000

export class Brake {
  readonly #afterFailures: number
  readonly #maxDelayMs: number
  readonly #logger: Pick<Logger, 'write'>
  readonly #clock: Clock
  readonly #states = new Map<Handler, State>()

  constructor({ afterFailures, maxDelayMs }: Required<OutageBrake>, clock: Clock, logger: Pick<Logger, 'write'>) {
    this.#afterFailures = afterFailures
    this.#maxDelayMs = maxDelayMs
    this.#clock = clock
    this.#logger = logger
  }

  /** Whether the messages of a handler are held back. */
  isOn(handler: Handler): boolean {
    return (this.#states.get(handler)?.failures ?? 0) >= this.#afterFailures
  }

  /** Waits until the handler may be tried. @returns undefined when the signal aborted before */
  async turn(handler: Handler, signal: () => AbortSignal): Promise<Turn | undefined> {
    if (!this.isOn(handler)) return this.#turnOf(handler)
    const ended = signal()
    while (this.isOn(handler)) {
      if (ended.aborted) return undefined
      const state = this.#stateOf(handler)
      if (!state.isTrying) {
        state.isTrying = true
        const turn = this.#turnOf(handler, state)
        await pauseBy(this.#clock, state.until - this.#clock.now(), ended)
        if (!ended.aborted) return turn
        turn.end('neither')
        return undefined
      }
      await wait(state.waiting, ended)
    }
    return ended.aborted ? undefined : this.#turnOf(handler)
  }

  /** @param tried the state of a handler that is held back, and has this one try */
  #turnOf(handler: Handler, tried?: State): Turn {
    let isEnded = false
    return {
      end: (outcome) => {
        if (isEnded) return
        isEnded = true
        if (outcome === 'succeeded') this.#succeeded(handler)
        else if (outcome === 'failed') this.#failed(handler, tried !== undefined)
        if (tried !== undefined) release(tried)
      },
    }
  }

  #succeeded(handler: Handler): void {
    const state = this.#states.get(handler)
    if (state === undefined) return
    if (this.isOn(handler))
      this.#logger.write('NOTICE', `'${handler.key}' is handled again, after ${state.failures} failures in a row`)
    this.#states.delete(handler)
    for (const go of state.waiting) go()
  }

  #failed(handler: Handler, isTry: boolean): void {
    const state = this.#stateOf(handler)
    state.failures += 1
    const begins = state.failures === this.#afterFailures
    // those that ran already when it took hold say nothing new
    if (!begins && !isTry) return
    if (isTry) state.failedTries += 1
    const delayMs = Math.min(this.#maxDelayMs, FIRST_DELAY_MS * 2 ** Math.min(state.failedTries, 20))
    state.until = this.#clock.now() + delayMs
    if (begins)
      this.#logger.write(
        'EMERGENCY',
        `handling '${handler.key}' failed ${state.failures} times in a row: its messages are held back, and tried one at a time`,
      )
  }

  #stateOf(handler: Handler): State {
    const known = this.#states.get(handler)
    if (known !== undefined) return known
    const state: State = { failures: 0, failedTries: 0, until: 0, isTrying: false, waiting: new Set() }
    this.#states.set(handler, state)
    return state
  }
}

/** The turn is the next one's. */
function release(state: State): void {
  state.isTrying = false
  const [next] = state.waiting
  next?.()
}

/** Until it is called, or the signal aborts. */
async function wait(waiting: Set<() => void>, signal: AbortSignal): Promise<void> {
  let go: () => void = () => {}
  const called = new Promise<void>((resolve) => {
    go = resolve
  })
  waiting.add(go)
  signal.addEventListener('abort', go, { once: true })
  if (signal.aborted) go()
  await called
  waiting.delete(go)
  signal.removeEventListener('abort', go)
}
