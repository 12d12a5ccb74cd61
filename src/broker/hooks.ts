/** Where tests may interfere: each hook is asked at its moment, and may break what happens there. */
import type { Message } from './message.ts'

/** A message on its way to a consumer, or back. */
export interface Delivery {
  readonly vhost: string
  readonly queue: string
  readonly message: Message
  readonly redelivered: boolean
}

export interface BrokerHooks {
  /** A message was published. `nack`: refused with basic.nack; `drop-connection`: the connection is gone before anything is confirmed. */
  onPublish?: (message: Message, vhost: string) => 'nack' | 'drop-connection' | undefined
  /** A message is to be delivered. `twice`: delivered once more behind this one; `later`: it waits for the one behind it, which comes first. */
  onDeliver?: (delivery: Delivery) => 'twice' | 'later' | undefined
  /** A consumer acknowledges. `drop-connection`: its connection is gone, and the acknowledgement lost. */
  onAck?: (delivery: Delivery) => 'drop-connection' | undefined
}
