/** What is told of outages: one record when one begins and one for each new reason, since brokers are away for hours, and one when it is over. */
import { AccessRefusedError, TopologyError } from '../errors.ts'
import type { LevelName } from '../log/levels.ts'
import type { Logger } from '../log/logger.ts'
import { type BrokerUrl, isExposed } from '../transport/broker-url.ts'

export class OutageReport {
  readonly #logger: Logger
  #current: { readonly since: number; readonly reasons: Set<string> } | undefined
  #wasConnected = false

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Whether there was ever a session. */
  get wasConnected(): boolean {
    return this.#wasConnected
  }

  /** A session works. */
  over(broker: BrokerUrl): void {
    if (this.#current !== undefined) {
      const seconds = ((performance.now() - this.#current.since) / 1000).toFixed(1)
      const again = this.#wasConnected ? ' again' : ''
      // whoever read of the outage on stderr reads there that it is over
      this.#logger.write('NOTICE', `connected to ${broker.shown}${again} after ${seconds} s`, {}, true)
      this.#current = undefined
    }
    this.#wasConnected = true
    if (isExposed(broker))
      this.#logger.write('WARNING', `${broker.shown}: passwords and messages travel in clear text; use amqps://`)
  }

  /** A session was lost, or could not be made. */
  goesOn(reason: Error): void {
    const { message } = reason
    if (this.#current === undefined) {
      this.#current = { since: performance.now(), reasons: new Set([message]) }
      const text = this.#wasConnected ? `connection lost: ${message}` : message
      this.#logger.write(severity(reason), `${text}; trying again until it works`)
    } else if (!this.#current.reasons.has(message)) {
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
