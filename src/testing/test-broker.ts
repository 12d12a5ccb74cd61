/** The broker that a bus of tests is on. */

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
