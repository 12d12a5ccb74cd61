/**
 * When a bus of tests is at rest: nothing more happens before time passes or somebody publishes.
 *
 * Everybody is asked what they do; when all do nothing, the queues are looked at, which also brings in what is on its way; and when
 * nothing was done meanwhile either, nothing is left that could do something.
 */
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { NotSettledError } from '../errors.ts'
import type { TestClock } from './test-clock.ts'
import type { Busy, Workers } from './workers.ts'

export interface SettlingParts {
  readonly workers: Workers
  readonly clock: TestClock
  /** What the bus itself has published, and is not confirmed. */
  readonly pendingPublishes: () => number
  /** Grows when the broker does something by itself. */
  readonly brokerActivity: () => number
  /** Lets the broker go on with what it holds back. @returns whether it held anything back */
  readonly release: () => boolean
  /** What helps to repeat it. */
  readonly seed: number
}

/** So many turns of the event loop it is asked at each, then once in a millisecond. */
const EAGER_TURNS = 100

export class Settling {
  readonly #parts: SettlingParts
  /** The activity when the bus was last at rest. */
  #atRest = -1

  constructor(parts: SettlingParts) {
    this.#parts = parts
  }

  /**
   * Waits until the bus is at rest.
   * @param patienceMs what goes on in handlers is not waited for any longer when nothing else happens and timers wait
   * @throws NotSettledError
   */
  async settle(timeoutMs: number, patienceMs = Infinity): Promise<void> {
    const { workers, clock, release } = this.#parts
    const began = performance.now()
    let changed = { at: began, activity: this.#activity }
    for (let turns = 0; ; turns++) {
      let busy = this.#busy()
      if (busy.length === 0) {
        const before = this.#activity
        busy = await workers.busyQueues()
        // what the broker holds back comes when nothing else does
        if (this.#isIdle(before) && !release() && busy.length === 0) {
          this.#atRest = before
          return
        }
      }
      const now = performance.now()
      if (changed.activity !== this.#activity) changed = { at: now, activity: this.#activity }
      const isPatient = clock.pending === 0 || !busy.every(({ runsOn }) => runsOn) || now - changed.at < patienceMs
      if (!isPatient && busy.length > 0) return
      if (now - began > timeoutMs) throw this.#problem(timeoutMs, busy)
      await (turns < EAGER_TURNS ? turn() : delay(1))
    }
  }

  /** The same, at once when a timer has run that did nothing. */
  async settleAfterTimer(timeoutMs: number, patienceMs: number): Promise<void> {
    await turn()
    if (this.#activity === this.#atRest && this.#busy().length === 0) return
    await this.settle(timeoutMs, patienceMs)
  }

  get #activity(): number {
    const { workers, brokerActivity } = this.#parts
    return workers.activity + workers.published + brokerActivity()
  }

  #busy(): readonly Busy[] {
    const pending = this.#parts.pendingPublishes()
    const own = pending === 0 ? [] : [{ runsOn: false, text: `publishes of the bus itself, not confirmed: ${pending}` }]
    return [...own, ...this.#parts.workers.busy()]
  }

  /** @param before the activity when the bus began to be looked at */
  #isIdle(before: number): boolean {
    return this.#activity === before && this.#busy().length === 0
  }

  #problem(timeoutMs: number, busy: readonly Busy[]): NotSettledError {
    const { clock, seed } = this.#parts
    const { pending, nextInMs = 0 } = clock
    const timers =
      pending === 0
        ? []
        : [`timers that wait for advance(): ${pending}, the next of them for ${Math.ceil(nextInMs)} ms`]
    const lines = [...(busy.length === 0 ? ['messages come again and again'] : busy.map(({ text }) => text)), ...timers]
    return new NotSettledError(timeoutMs, seed, lines)
  }
}
