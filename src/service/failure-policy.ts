/**
 * What becomes of a message that cannot be handled, and what is told of it (docs/protocol.md, section 6).
 *
 * `once`: the first failure gives it back, for any worker; one of a message that was delivered before is final. `attempts`: real
 * failures are counted, by message id, in the memory of the worker, so that a crash or somebody who looked at the queue uses up
 * none. A message that is wrong, or an error that says so, is final at once.
 */
import { NoHandlerError, PayloadDecodeError, PermanentError } from '../errors.ts'
import { describeError } from '../log/describe-error.ts'
import type { Logger } from '../log/logger.ts'
import { conversationIdOf } from '../wire/envelope.ts'
import type { Delivery } from './delivery.ts'

/** How often a message is tried whose handler fails unexpectedly: once more, or `attempts` times in all (1 or more). */
export type RetryPolicy = 'once' | { readonly attempts: number }

/** Messages whose failures are remembered, the latest ones. */
const REMEMBERED = 10_000

export class FailurePolicy {
  readonly #retry: RetryPolicy
  readonly #logger: Logger
  readonly #failures = new Map<string, number>()

  constructor(retry: RetryPolicy, logger: Logger) {
    this.#retry = retry
    this.#logger = logger
  }

  /** The message itself is wrong: redelivery cannot help. */
  refuse(delivery: Delivery, error: unknown): void {
    if (!delivery.isOpen) return
    const level = error instanceof NoHandlerError ? 'ERROR' : 'EMERGENCY'
    const { summary } = describeError(error)
    // of a body nobody knows which message it was
    const subject = error instanceof PayloadDecodeError ? `message '${delivery.message.routingKey}': ` : ''
    this.#log(level, delivery, `${subject}${summary} (dead-lettered)`)
    delivery.nack(false)
  }

  /**
   * An unexpected error.
   * @param isTold whether it has been logged, for several messages together
   * @param isPassing whether it says nothing of this message, which then goes back whatever happened before
   */
  fail(delivery: Delivery, error: unknown, { isTold = false, isPassing = false } = {}): void {
    // the broker delivers it again: that it went wrong this time means nothing
    if (delivery.isLost) return
    const key = delivery.message.routingKey
    const { summary, full } = describeError(error)
    if (!isTold) this.#log('ALERT', delivery, `unexpected error while handling ${key}: ${summary}`, full)
    // settled by hand before it failed
    if (!delivery.isOpen) return
    const isFinal = error instanceof PermanentError || (!isPassing && this.#isLastTry(delivery))
    if (isFinal) this.giveUp(delivery, full)
    else delivery.nack(true)
  }

  /** To the dead letters. */
  giveUp(delivery: Delivery, full: string): void {
    this.#failures.delete(delivery.message.properties.messageId ?? '')
    this.#log('EMERGENCY', delivery, `Giving up on ${delivery.message.routingKey}`, full)
    delivery.nack(false)
  }

  /** Forgets the failures of a message that was handled. */
  succeeded({ message }: Delivery): void {
    if (this.#failures.size > 0) this.#failures.delete(message.properties.messageId ?? '')
  }

  #isLastTry({ message }: Delivery): boolean {
    const id = message.properties.messageId ?? ''
    // without an id it cannot be told from others: what the broker knows of it has to do
    if (this.#retry === 'once' || id === '') return message.redelivered
    const failures = (this.#failures.get(id) ?? 0) + 1
    this.#failures.delete(id)
    if (failures >= this.#retry.attempts) return true
    this.#failures.set(id, failures)
    const [oldest] = this.#failures.keys()
    if (this.#failures.size > REMEMBERED && oldest !== undefined) this.#failures.delete(oldest)
    return false
  }

  #log(level: 'ALERT' | 'EMERGENCY' | 'ERROR', delivery: Delivery, short: string, full = ''): void {
    this.#logger.write(level, short, { full, conversationId: conversationIdOf(delivery.message) ?? '' })
  }
}
