/**
 * When and where to connect: the broker URLs in turn, for ever, at once after a session that worked, ever more slowly
 * while nothing works, and with jitter so that the workers of a fleet do not come all at the same time.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { AccessRefusedError, TopologyError } from '../errors.ts'

/** Each failure adds this to the wait. */
const STEP_MS = 1000
const LONGEST_MS = 30_000
/** Neither a refused password nor a queue of other arguments gets right by asking often, and brokers log every try. */
const REFUSED_MS = 10_000
/** A session must have worked this long for the next loss of it to be forgiven at once. */
const HEALTHY_MS = 10_000

/** Of the failures before a session that worked for a while so many still count. */
const REMEMBERED_FAILURES = 3

/** Decides how long to wait before the next attempt. Times come from the monotonic clock. */
export class Backoff {
  #failures = 0
  #lastImmediate = Number.NEGATIVE_INFINITY
  readonly #now: () => number
  readonly #random: () => number

  constructor(now: () => number = () => performance.now(), random: () => number = Math.random) {
    this.#now = now
    this.#random = random
  }

  /**
   * @param workedMs how long the session that ended had worked (consumed); undefined when it never did
   * @param error why it ended or never began
   * @param isLastInTurn whether all other URLs were tried since this one was the last time
   * @returns milliseconds to wait
   */
  next(workedMs: number | undefined, error: unknown, isLastInTurn = true): number {
    const now = this.#now()
    if (workedMs !== undefined && workedMs >= HEALTHY_MS) this.#failures = 0
    if (workedMs !== undefined && now - this.#lastImmediate >= HEALTHY_MS) {
      this.#lastImmediate = now
      this.#failures = Math.min(this.#failures, REMEMBERED_FAILURES)
      return 0
    }
    this.#failures += 1
    const wait = Math.min(LONGEST_MS, this.#failures * STEP_MS)
    const jittered = wait * (0.75 + 0.25 * this.#random())
    const isRefusal = error instanceof AccessRefusedError || error instanceof TopologyError
    return isRefusal && isLastInTurn ? Math.max(REFUSED_MS, jittered) : jittered
  }
}

/** Waits, or returns at once when the signal aborts. Never throws. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {})
}

/**
 * What a promise settles with, or undefined as soon as the signal aborts. Unlike a race with a promise that lives long, it leaves
 * nothing behind at the signal.
 */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(undefined)
    const done = (): void => signal.removeEventListener('abort', onAbort)
    if (signal.aborted) return resolve(undefined)
    signal.addEventListener('abort', onAbort, { once: true })
    promise.finally(done).then(resolve, reject)
  })
}
