/**
 * Notices handlers that block the event loop for so long that the broker takes the worker for dead: what they settle is lost with the
 * connection, and their messages come again.
 */
import type { Delivery } from './delivery.ts'

/** How often the event loop is looked at. */
const BEAT_MS = 500

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

  #turn(): void {
    this.#turned = performance.now()
    this.#use = performance.eventLoopUtilization()
  }
}
