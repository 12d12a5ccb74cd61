/**
 * The settlement of one delivery: the only thing that acknowledges or rejects it, at most once, on its own channel, and
 * never before the broker has confirmed every message that was published on its behalf.
 */
import { DeliveryLostError, UnroutableError } from '../errors.ts'
import type { Acknowledger } from '../transport/acknowledger.ts'
import type { PublishOwner } from '../transport/publish-outcomes.ts'
import type { QueueKind } from '../wire/envelope.ts'
import type { IncomingMessage } from '../wire/message.ts'
import type { Handler } from './handlers.ts'

/**
 * What became of a delivery: requeued is given back to its queue, dead-lettered given up, lost was delivered on a connection that is
 * gone, so that it comes again.
 */
export type DeliveryOutcome = 'acknowledged' | 'requeued' | 'dead-lettered' | 'lost'

export class Delivery implements PublishOwner {
  readonly queue: QueueKind
  readonly message: IncomingMessage
  /** Whether its handler returned SETTLE_LATER: somebody else calls ack or nack. */
  isManual = false
  /** When its handler was called, by the monotonic clock. */
  begunAt: number | undefined
  /** Whether its handler was called and has not ended. */
  isRunning = false
  /** Whether nothing becomes of it before time has passed, or something else has happened. */
  isWaiting = false
  lostBecause: Error | undefined
  /** Who handles it, as soon as that is known. */
  handler: Handler | undefined
  /** Undefined while it is open. */
  outcome: DeliveryOutcome | undefined
  readonly #acknowledger: Acknowledger
  readonly #onClosed: (delivery: Delivery) => void
  #state: 'open' | 'settled' | 'lost' = 'open'
  #unconfirmed = 0
  #failure: unknown
  /** Resolves when everything is confirmed, or it is settled or lost; made when somebody waits for that. */
  #change: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined
  #controller: AbortController | undefined

  constructor(
    queue: QueueKind,
    message: IncomingMessage,
    acknowledger: Acknowledger,
    onClosed: (delivery: Delivery) => void,
  ) {
    this.queue = queue
    this.message = message
    this.#acknowledger = acknowledger
    this.#onClosed = onClosed
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Whether the connection is gone, or the worker gave up: the broker delivers the message again. */
  get isLost(): boolean {
    return this.#state === 'lost'
  }

  /** What was published on its behalf and is not confirmed. */
  get unconfirmed(): number {
    return this.#unconfirmed
  }

  /** Aborts when the delivery is lost. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.lostBecause !== undefined) this.#controller.abort(this.lostBecause)
    return this.#controller.signal
  }

  /** Holds back the acknowledgement until this publish is confirmed. */
  track(publish: Promise<unknown>): void {
    if (this.#state !== 'open') {
      // lost: the failure means nothing any more
      publish.catch(() => {})
      return
    }
    this.#unconfirmed += 1
    publish.then(
      () => this.#onPublished(),
      (error: unknown) => this.#onUnpublished(error),
    )
  }

  /**
   * Acknowledges, once everything published is confirmed. Does nothing when settled already.
   * @throws what the first failed publish was rejected with; the delivery is then still open
   */
  async ack(): Promise<void> {
    while (this.#isUnconfirmed) await this.#changed()
    if (this.#state !== 'open') return
    if (this.#failure !== undefined) throw this.#failure
    this.#close('settled', 'acknowledged')
    this.#acknowledger.ack(this.message.deliveryTag)
  }

  /**
   * Resolves when everything published on its behalf is confirmed.
   * @throws what the first failed publish was rejected with; why it was lost
   */
  async confirmed(): Promise<void> {
    while (this.#isUnconfirmed) await this.#changed()
    if (this.#state === 'lost') throw this.lostBecause
    if (this.#failure !== undefined) throw this.#failure
  }

  /** The time of its handler is up: what the handler still publishes is dropped, once the message is given back. */
  expire(because: Error): void {
    this.lostBecause = because
    this.#controller?.abort(because)
  }

  /** Gives the message back, to its queue or to the dead letters. Does nothing when settled already. */
  nack(requeue: boolean): void {
    if (this.#state !== 'open') return
    this.#close(this.lostBecause === undefined ? 'settled' : 'lost', requeue ? 'requeued' : 'dead-lettered')
    this.#acknowledger.nack(this.message.deliveryTag, requeue)
  }

  /** The broker has, or will have, the message back: nothing is sent for it any more. */
  lose(
    because: Error = new DeliveryLostError(
      `the connection was lost while '${this.message.routingKey}' was handled; the broker delivers it again`,
    ),
  ): void {
    if (this.#state !== 'open') return
    this.lostBecause = because
    this.#close('lost', 'lost')
    this.#controller?.abort(because)
  }

  #close(state: 'settled' | 'lost', outcome: DeliveryOutcome): void {
    this.#state = state
    this.outcome = outcome
    this.#wake()
    this.#onClosed(this)
  }

  get #isUnconfirmed(): boolean {
    return this.#unconfirmed > 0 && this.#state === 'open'
  }

  #changed(): Promise<void> {
    if (this.#change === undefined) {
      let resolve: () => void = () => {}
      const promise = new Promise<void>((wake) => {
        resolve = wake
      })
      this.#change = { promise, resolve }
    }
    return this.#change.promise
  }

  #onUnpublished(error: unknown): void {
    // one that came back was confirmed as well: the returned-message hook and its caller have been told
    if (!(error instanceof UnroutableError)) this.#failure ??= error
    this.#onPublished()
  }

  #onPublished(): void {
    this.#unconfirmed -= 1
    if (this.#unconfirmed === 0) this.#wake()
  }

  #wake(): void {
    this.#change?.resolve()
    this.#change = undefined
  }
}
