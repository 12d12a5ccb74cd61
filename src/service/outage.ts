/**
 * What is told of outages: one record when one begins and one for each new reason, since brokers are away for hours, and one when it is
 * over. What does not mend itself is told again each minute: a worker that cannot do its work must not keep silent.
 */
import { AccessRefusedError, TopologyError } from '../errors.ts'
import type { LevelName } from '../log/levels.ts'
import type { Logger } from '../log/logger.ts'
import { type BrokerUrl, isExposed } from '../transport/broker-url.ts'

/** How long a reason that waiting does not mend is not told again. */
const REMINDER_MS = 60_000

export class OutageReport {
  readonly #logger: Logger
  readonly #now: () => number
  /** The reasons, and when each was told last. */
  #current: { readonly since: number; readonly reasons: Map<string, number>; latest: string } | undefined
  /** Sessions that worked so far. */
  connections = 0

  constructor(logger: Logger, now: () => number = () => performance.now()) {
    this.#logger = logger
    this.#now = now
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
      const seconds = ((this.#now() - this.#current.since) / 1000).toFixed(1)
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
    const now = this.#now()
    if (this.#current === undefined) {
      this.#current = { since: now, reasons: new Map([[message, now]]), latest: message }
      const text = this.wasConnected ? `connection lost: ${message}` : message
      this.#logger.write(severity(reason), `${text}; trying again until it works`)
      return
    }
    this.#current.latest = message
    const told = this.#current.reasons.get(message)
    if (told !== undefined && (mendsItself(reason) || now - told < REMINDER_MS)) return
    this.#current.reasons.set(message, now)
    this.#logger.write(severity(reason), message)
  }
}

/** Waiting mends a broker that is away, but neither a wrong password nor a wrong queue. */
function mendsItself(reason: Error): boolean {
  return !(reason instanceof TopologyError || reason instanceof AccessRefusedError)
}

function severity(reason: Error): LevelName {
  if (reason instanceof TopologyError) return 'EMERGENCY'
  return reason instanceof AccessRefusedError ? 'ERROR' : 'WARNING'
}
