/** What becomes of publishes: those that are not confirmed as errors that say what to do, and all of them counted. */
import {
  DeliveryLostError,
  EventailError,
  HandlerTimeoutError,
  PublishRefusedError,
  StoppedError,
  UnroutableError,
} from '../errors.ts'
import type { OutgoingMessage } from '../wire/message.ts'

/** The incoming delivery on whose behalf a message is published. */
export interface PublishOwner {
  /** Whether its connection is gone, so that the broker delivers it again. */
  readonly isLost: boolean
  /** Why. */
  readonly lostBecause: Error | undefined
}

export function lostWith({ routingKey }: OutgoingMessage, owner: PublishOwner | undefined): Error {
  const because = owner?.lostBecause
  if (because instanceof StoppedError || because instanceof HandlerTimeoutError) return because
  return new DeliveryLostError(
    `message '${routingKey}' was dropped: the connection was lost before the incoming message was settled; the broker delivers that one again, and its handler publishes again`,
  )
}

export function unroutable({ exchange, routingKey }: OutgoingMessage): UnroutableError {
  const problem = 'came back: no queue is bound for it. Is the service that takes it running, and the name right?'
  return new UnroutableError(exchange, routingKey, problem)
}

export function refused(
  { exchange, routingKey }: OutgoingMessage,
  problem: string,
  cause?: unknown,
): PublishRefusedError {
  return new PublishRefusedError(exchange, routingKey, problem, cause === undefined ? {} : { cause })
}

/** How publishes came out. */
export class OutcomeCounts {
  confirmed = 0
  /** Those that were rejected, by the code of the error; `OTHER` for errors that are not ours. */
  readonly failed = new Map<string, number>()

  /** Counts a publish when it settles, and takes care that nobody has to handle its rejection. */
  count(publish: Promise<void>): void {
    publish.then(this.#onConfirmed, this.#onFailed)
  }

  // made once: there is nothing to allocate for each message
  readonly #onConfirmed = (): void => {
    this.confirmed += 1
  }

  readonly #onFailed = (error: unknown): void => {
    const code = error instanceof EventailError ? error.code : 'OTHER'
    this.failed.set(code, (this.failed.get(code) ?? 0) + 1)
  }
}
