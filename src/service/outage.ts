/** What is told of outages: one record when one begins and one for each new reason, since brokers are away for hours, and one when it is over. */
import { AccessRefusedError, TopologyError } from '../errors.ts'
import type { LevelName } from '../log/levels.ts'
import type { Logger } from '../log/logger.ts'
import { type BrokerUrl, isExposed } from '../transport/broker-url.ts'

export class OutageReport {
  readonly #logger: Logger
  #current: { readonly since: number; readonly reasons: Set<string>; latest: string } | undefined
  /** Sessions that worked so far. */
  connections = 0

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Whether there was ever a session. */
  get wasConnected(): boolean {
    return this.connections > 0
  }

  /** Why there is no session, as it was last found; undefined while there is one, and before the first try has failed. */
  get reason(): string | undefined {
    return this.#current?.latest
  }

  /** A session works. */
  over(broker: BrokerUrl): void {
    if (this.#current !== undefined) {
      const seconds = ((performance.now() - this.#current.since) / 1000).toFixed(1)
      const again = this.wasConnected ? ' again' : ''
      // whoever read of the outage on stderr reads there that it is over
      this.#logger.write('NOTICE', `connected to ${broker.shown}${again} after ${seconds} s`, {}, true)
      this.#current = undefined
    }
    this.connections += 1
    if (isExposed(broker))
      this.#logger.write('WARNING', `${broker.shown}: passwords and messages travel in clear text; use amqps://`)
  }

  /** A session was lost, or could not be made. */
  goesOn(reason: Error): void {
    const { message } = reason
    if (this.#current === undefined) {
      this.#current = { since: performance.now(), reasons: new Set([message]), latest: message }
      const text = this.wasConnected ? `connection lost: ${message}` : message
      this.#logger.write(severity(reason), `${text}; trying again until it works`)
      return
    }
    this.#current.latest = message
    if (!this.#current.reasons.has(message)) {
      this.#current.reasons.add(message)
      this.#logger.write(severity(reason), message)
    }
  }
}

/** Waiting mends a broker that is away, but neither a wrong password nor a wrong queue. */
function severity(reason: Error): LevelName {
  if (reason instanceof TopologyError) return 'EMERGENCY'
  return reason instanceof AccessRefusedError ? 'ERROR' : 'WARNING'
}
