/** What becomes of publishes that are not confirmed, as errors that say what to do. */
import {
  DeliveryLostError,
  HandlerTimeoutError,
  PublishRefusedError,
  StoppedError,
  UnroutableError,
} from '../errors.ts'
import type { OutgoingMessage } from '../wire/message.ts'
import type { PublishOwner } from './publisher.ts'

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
