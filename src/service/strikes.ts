/**
 * Messages whose handling costs the worker its connection: they block the event loop for longer than the broker waits for a sign of
 * life, or are held for longer than it waits for an acknowledgement. However they are settled is lost with the connection, and without
 * this they would come again for ever. Each time counts as a failure, in the memory of the worker.
 */
import { createHash } from 'node:crypto'
import type { Logger } from '../log/logger.ts'
import { unlessAborted } from '../transport/reconnect.ts'
import { conversationIdOf } from '../wire/envelope.ts'
import type { Delivery } from './delivery.ts'
import type { RetryPolicy } from './failure-policy.ts'

/** Messages that are remembered, the latest ones. */
const REMEMBERED = 1_000
/** How many of them a record names. */
const MOST_NAMED = 5

export class Strikes {
  readonly #logger: Logger
  readonly #most: number
  readonly #counts = new Map<string, number>()
  /** Settled when the last message that has a strike was handled. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(retry: RetryPolicy, logger: Logger) {
    // the first may be that of another that was in hand beside it: only alone it shows whose it was
    this.#most = retry === 'once' ? 2 : Math.max(2, retry.attempts)
    this.#logger = logger
  }

  /** @param suspects whose handlers may have blocked the event loop; none when it was something else */
  blocked(suspects: readonly Delivery[], blockedMs: number, limitMs: number): void {
    const seconds = (ms: number): string => String(Number((ms / 1000).toFixed(1)))
    const problem = `blocked the event loop for ${seconds(blockedMs)} s, and after ${seconds(limitMs)} s without a sign of life the broker may drop the connection: take the work to a worker thread, or await in between`
    if (suspects.length > 0) this.#strike(suspects, problem)
    else this.#logger.write('WARNING', `something outside of handlers ${problem}`)
  }

  /** @param held for longer than the broker waits for an acknowledgement */
  overdue(held: readonly Delivery[], timeoutMs: number): void {
    const problem = `did not settle its message within the broker's consumer timeout of ${timeoutMs} ms: set handlerTimeoutMs below that, or raise that`
    if (held.length > 0) this.#strike(held, problem)
  }

  /** Counts it as a failure of these messages. */
  #strike(deliveries: readonly Delivery[], problem: string): void {
    for (const delivery of deliveries) {
      const key = keyOf(delivery)
      const count = (this.#counts.get(key) ?? 0) + 1
      this.#counts.delete(key)
      this.#counts.set(key, count)
      const [oldest] = this.#counts.keys()
      if (this.#counts.size > REMEMBERED && oldest !== undefined) this.#counts.delete(oldest)
    }
    const keys = [...new Set(deliveries.map(({ message }) => `'${message.routingKey}'`))]
    const who = `${keys.length > 1 ? 'one of the handlers' : 'the handler'} of ${keys.slice(0, MOST_NAMED).join(', ')}`
    const [only] = deliveries
    const conversationId = (deliveries.length === 1 && only !== undefined && conversationIdOf(only.message)) || ''
    this.#logger.write('ALERT', `${who} ${problem}; this counts as a failure`, { conversationId })
  }

  hasAny(delivery: Delivery): boolean {
    return this.#countOf(delivery) > 0
  }

  /** Whether it has failed as often as it may. */
  isOut(delivery: Delivery): boolean {
    return this.#countOf(delivery) >= this.#most
  }

  /** Forgets a message that is given up. */
  forget(delivery: Delivery): void {
    this.#counts.delete(keyOf(delivery))
  }

  /**
   * Messages that have a strike are handled one at a time, so that those that were only beside the one to blame get no other.
   * @param delivery of such a message
   * @param handle never rejects
   * @returns resolves when it was handled
   */
  inTurn(delivery: Delivery, handle: () => Promise<void>): Promise<void> {
    const handled = this.#last.then(handle)
    // one that is lost comes again, however long its handler goes on
    this.#last = unlessAborted(handled, delivery.signal)
    return handled
  }

  /** What came for the first time has none. */
  #countOf(delivery: Delivery): number {
    if (this.#counts.size === 0 || !delivery.message.redelivered) return 0
    return this.#counts.get(keyOf(delivery)) ?? 0
  }
}

/** @returns the time within which the broker wants acknowledgements, in milliseconds, where that is why it closed the channel */
export function consumerTimeoutOf(reason: Error): number | undefined {
  if (!/delivery acknowledgement on channel \d+ timed out/.test(reason.message)) return undefined
  const used = /Timeout value used: (\d+) ms/.exec(reason.message)?.[1]
  return used === undefined ? undefined : Number(used)
}

/** Its id, or, of peers that set none, what makes it this message. */
function keyOf({ message }: Delivery): string {
  const { messageId, correlationId = '' } = message.properties
  if (messageId !== undefined && messageId !== '') return messageId
  const parts = [message.routingKey, conversationIdOf(message) ?? '', correlationId]
  return createHash('sha256').update(JSON.stringify(parts)).update(message.body).digest('base64')
}
