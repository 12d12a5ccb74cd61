/**
 * Notices handlers that block the event loop for so long that the broker takes the worker for dead: what they settle is lost with the
 * connection, and their messages come again.
 */
import { setImmediate as immediate, setTimeout as delay } from 'node:timers/promises'
import type { Delivery } from './delivery.ts'

/** How often the event loop is looked at. */
const BEAT_MS = 500
/** After this, whatever blocked it, no handler begins before it has turned. */
const LATE_MS = 2 * BEAT_MS

/**
 * @param limitMs how long it may be
 * @param culprit the only one that can have done it, where that is known
 */
type OnBlocked = (blockedMs: number, limitMs: number, culprit: Delivery | undefined) => void

export class LoopWatch {
  readonly #onBlocked: OnBlocked
  #limitMs = Infinity
  #beat: NodeJS.Timeout | undefined
  /** When the loop was last known to turn. */
  #turned = 0
  #use = performance.eventLoopUtilization()

  constructor(onBlocked: OnBlocked) {
    this.#onBlocked = onBlocked
  }

  /** @param limitMs how long the broker waits for a sign of life */
  start(limitMs: number): void {
    this.#limitMs = limitMs
    this.#turn()
    clearInterval(this.#beat)
    this.#beat = setInterval(() => {
      this.check()
      this.#turn()
    }, BEAT_MS)
  }

  stop(): void {
    clearInterval(this.#beat)
    this.#limitMs = Infinity
  }

  /** A handler has returned, or come to its first `await`. @param began when it was called */
  returned(delivery: Delivery, began: number): void {
    const tookMs = performance.now() - began
    if (tookMs < this.#limitMs) return
    this.#turn()
    this.#onBlocked(tookMs, this.#limitMs, delivery)
  }

  /** Whether the loop has been blocked since it was last looked at: before a handler's message is settled it is still known whose. */
  check(): void {
    const blockedMs = performance.now() - this.#turned
    if (blockedMs < this.#limitMs) return
    const { active } = performance.eventLoopUtilization(this.#use)
    this.#turn()
    // a process that was stopped from outside is no fault of a handler
    if (active >= this.#limitMs) this.#onBlocked(blockedMs, this.#limitMs, undefined)
  }

  /** Whether it has not turned for a while. */
  get isLate(): boolean {
    return this.#limitMs !== Infinity && performance.now() - this.#turned > LATE_MS
  }

  /**
   * Lets the loop turn where handlers have blocked it for a while: what they settled goes out, a sign of life, before the next one
   * begins. Many that are short enough one by one would else be too long together.
   */
  async catchUp(): Promise<void> {
    while (this.isLate) {
      // all timers that are due, among them the heartbeats'; then what they and others wrote goes out
      await delay(0)
      await immediate()
      await immediate()
      if (!this.isLate) continue
      this.check()
      this.#turn()
    }
  }

  #turn(): void {
    this.#turned = performance.now()
    this.#use = performance.eventLoopUtilization()
  }
}
