/**
 * Shows what happens on a bus: one queue of its own, bound to everything, so that messages show in the order in which the
 * broker took them. It leaves nothing behind, and comes back by itself when the broker does.
 */
import { StoppedError } from '../errors.ts'
import type { Redact } from '../observe/redact.ts'
import { DEAD_LETTER_EXCHANGE } from '../topology/dead-letters.ts'
import { EXCHANGES } from '../topology/names.ts'
import { AmqpConnection } from '../transport/amqp-connection.ts'
import type { BrokerTls } from '../transport/broker-tls.ts'
import type { BrokerUrl } from '../transport/broker-url.ts'
import { exchangeExists } from '../transport/declaring.ts'
import { unlessAborted } from '../transport/reconnect.ts'
import { tap } from '../transport/tap.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { type Kind, kindOf, lineOf, type LineStyle, recordOf } from './bus-line.ts'

export interface BusViewOptions {
  readonly broker: BrokerUrl
  readonly tls: BrokerTls | undefined
  readonly style: () => LineStyle
  readonly redact: Redact
  /** Takes the lines of a message. */
  readonly show: (lines: string) => void
  /** Takes what is to be said about the view itself. */
  readonly note: (text: string) => void
  /** Told that a process works, by its own word on the log bus. */
  readonly onReady: (pid: number) => void
}

const NAME = 'eventail dev'
const TIMEOUT_MS = 5_000
/** What a worker logs when it consumes, or waits for what it needs to do so. */
const READY = /^(?:ready\b|waiting for the configuration)/

export class BusView {
  /** Whether dead letters can be seen: there is an exchange for them. */
  readonly hasDeadLetters: boolean
  readonly #options: BusViewOptions
  readonly #end = new AbortController()
  readonly #counts: Record<Kind, number> = {
    event: 0,
    command: 0,
    result: 0,
    configuration: 0,
    log: 0,
    'dead letter': 0,
  }
  #watching: Promise<void> = Promise.resolve()

  private constructor(options: BusViewOptions, hasDeadLetters: boolean) {
    this.#options = options
    this.hasDeadLetters = hasDeadLetters
  }

  /**
   * Resolves when the view sees everything from now on.
   * @throws ConnectionError when the broker cannot be reached, or refuses us; TopologyError when it has exchanges of other kinds;
   * StoppedError when the signal aborts before
   */
  static async open(options: BusViewOptions, signal: AbortSignal): Promise<BusView> {
    const { broker, tls } = options
    const settings = { name: NAME, tls, connectTimeoutMs: TIMEOUT_MS, heartbeatMs: 0 }
    const connection = await AmqpConnection.open(broker, settings, signal)
    let view: BusView
    try {
      view = new BusView(options, await exchangeExists(connection, DEAD_LETTER_EXCHANGE, TIMEOUT_MS))
    } finally {
      await connection.shutDown(TIMEOUT_MS)
    }
    await unlessAborted(view.#watch(), signal)
    if (signal.aborted) {
      await view.close()
      throw new StoppedError('stopped before the bus was seen')
    }
    return view
  }

  /** Messages so far, by kind, in words. */
  get summary(): string {
    return Object.entries(this.#counts)
      .map(([kind, count]) => `${count} ${kind}${count === 1 ? '' : 's'}`)
      .join(', ')
  }

  async close(): Promise<void> {
    this.#end.abort()
    await this.#watching
  }

  #watch(): Promise<void> {
    const { broker, tls, note } = this.#options
    const names = [...Object.values(EXCHANGES), ...(this.hasDeadLetters ? [DEAD_LETTER_EXCHANGE] : [])]
    let lostAt: number | undefined
    return new Promise((resolve, reject) => {
      const watching = tap({
        brokers: [broker],
        tls,
        name: NAME,
        patterns: Object.fromEntries(names.map((exchange) => [exchange, ['#']])),
        signal: this.#end.signal,
        onMessage: (message) => this.#onMessage(message),
        onConnected: () => {
          if (lostAt !== undefined) {
            const seconds = ((performance.now() - lostAt) / 1000).toFixed(1)
            note(`the view is back after ${seconds} s; what was published meanwhile does not show`)
          }
          lostAt = undefined
          resolve()
        },
        onLost: (reason) => {
          if (lostAt === undefined) note(`the view lost the broker, and waits for it: ${reason.message}`)
          lostAt ??= performance.now()
        },
      })
      this.#watching = watching.catch(reject)
    })
  }

  #onMessage(message: IncomingMessage): void {
    const { style, redact, show, onReady } = this.#options
    const kind = kindOf(message)
    this.#counts[kind] += 1
    if (kind === 'log') {
      const { short_message: short, _worker_pid: pid } = recordOf(message.body) ?? {}
      if (typeof short === 'string' && typeof pid === 'number' && READY.test(short)) onReady(pid)
    }
    const line = lineOf(redact(message), new Date(), style())
    if (line !== undefined) show(line)
  }
}
