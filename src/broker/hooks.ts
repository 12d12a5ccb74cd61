/** Where tests and development may interfere: each hook is asked at its moment, and may change what happens there. */
import { readable } from './byte-string.ts'
import type { Message } from './message.ts'
import type { QueueEntry } from './queue.ts'

/** A message; its names are text. */
export type ShownMessage = Pick<Message, 'exchange' | 'routingKey' | 'properties' | 'body'>

/** A message on its way to a consumer, or back. */
export interface Delivery {
  readonly queue: string
  readonly message: ShownMessage
  readonly redelivered: boolean
}

export interface BrokerHooks {
  /** A message was published. `nack`: refused with basic.nack; `drop-connection`: the connection is gone before anything is confirmed. */
  onPublish?: (message: ShownMessage) => 'nack' | 'drop-connection' | undefined
  /** A message is to be delivered. `twice`: delivered once more behind this one; `later`: it waits for the one behind it, which comes first. */
  onDeliver?: (delivery: Delivery) => 'twice' | 'later' | undefined
  /** A consumer acknowledges. `drop-connection`: its connection is gone, and the acknowledgement lost. */
  onAck?: (delivery: Delivery) => 'drop-connection' | undefined
  /** Whether this queue of a published message only watches: a mandatory message that no other one takes comes back. */
  isWatcher?: (queue: string, exchange: string) => boolean
}

export function shownMessage({ exchange, routingKey, properties, body }: Message): ShownMessage {
  return { exchange: readable(exchange), routingKey: readable(routingKey), properties, body }
}

export function deliveryOf({ queue, message, redelivered }: QueueEntry): Delivery {
  return { queue: readable(queue.name), message: shownMessage(message), redelivered }
}
