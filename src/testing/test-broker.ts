/** The broker that a bus of tests is on, and the place for dead letters that every one of them has. */

/** Where the dead letters of a bus of tests go. */
export const DEAD_LETTER_EXCHANGE = 'am-dlx'
/** The policy that sends them there, as operators set it (docs/protocol.md, section 9). */
export const DEAD_LETTER_POLICY = {
  name: 'DLX',
  pattern: '.*\\.events|.*\\.commands',
  definition: { 'dead-letter-exchange': DEAD_LETTER_EXCHANGE },
  applyTo: 'queues',
  priority: 0,
} as const

export interface TestBroker {
  readonly kind: 'development' | 'rabbitmq'
  /** Of a virtual host of this bus alone. */
  readonly url: string
  /** Grows when it did something by itself, because time has passed. */
  readonly activity: () => number
  /** Lets go of messages that it holds back. @returns whether there were any */
  readonly release: () => boolean
  /** Removes what was made for the bus. */
  readonly close: () => Promise<void>
}
