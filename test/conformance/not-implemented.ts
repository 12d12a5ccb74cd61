/**
 * All that RabbitMQ does in the scenarios and the development broker refuses to do, with 540 NOT_IMPLEMENTED and these words.
 * The page about the development broker names the same: nothing else may differ.
 */
export const NOT_IMPLEMENTED = {
  headers: `exchanges of type 'headers'`,
  priorities: `queue argument 'x-max-priority'`,
  transactions: 'transactions (tx)',
  quorum: `queues of type 'quorum'`,
  stream: `queues of type 'stream'`,
  directReplyTo: 'direct reply-to',
} as const

/** RabbitMQ speaks it as well; the development broker answers with the protocol header of AMQP 0-9-1. */
export const OLD_PROTOCOL = 'AMQP 0-8'

export type NotImplemented = keyof typeof NOT_IMPLEMENTED
