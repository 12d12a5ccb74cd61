/**
 * Where dead letters go by convention. The place is the operator's (docs/protocol.md, section 9): no service declares it, only brokers for
 * development and tests have it from their beginning.
 */

/** The exchange that the policy sends dead letters to. */
export const DEAD_LETTER_EXCHANGE = 'am-dlx'
/** The queue that holds them. */
export const DEAD_LETTER_QUEUE = 'dead-letters'
/** The policy that sends them there, as operators set it. */
export const DEAD_LETTER_POLICY = {
  name: 'DLX',
  pattern: '.*\\.events|.*\\.commands',
  definition: { 'dead-letter-exchange': DEAD_LETTER_EXCHANGE },
  applyTo: 'queues',
  priority: 0,
} as const
