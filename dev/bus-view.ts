/**
 * Shows what happens on a bus: one queue of its own, bound to everything, so that messages show in the order in which the
 * broker took them. It leaves nothing behind, and comes back by itself when the broker does.
 *
 * It speaks AMQP with a client that is not the toolkit's: it also shows what no service receives (logs, dead letters,
 * messages that break the protocol).
 */
import { setTimeout as delay } from 'node:timers/promises'
import amqp, { type ChannelModel, type ConsumeMessage } from 'amqplib'
import { EXCHANGES } from '../src/topology/names.ts'
import { type BrokerUrl, parseBrokerUrl } from '../src/transport/broker-url.ts'
import { DEAD_LETTER_EXCHANGE, type Kind, kindOf, lineOf, type LineStyle } from './bus-line.ts'

const DEAD_LETTER_QUEUE = 'dead-letters'
const RETRY_MS = 300
const CONNECT_TIMEOUT_MS = 5_000

export interface BusViewOptions {
  readonly url: string
  /** Whether the broker is ours, so that the dead letters' exchange and queue are declared on it. */
  readonly ours: boolean
  readonly style: () => LineStyle
  /** Takes a line of the view. */
  readonly show: (line: string) => void
  /** Takes what is to be said about the view itself. */
  readonly note: (text: string) => void
}

export class BusView {
  /** The broker's URL as it may be shown. */
  readonly shownUrl: string
  readonly #options: BusViewOptions
  readonly #broker: BrokerUrl
  readonly #counts: Record<Kind, number> = {
    event: 0,
    command: 0,
    result: 0,
    configuration: 0,
    log: 0,
    'dead letter': 0,
  }
  #connection: ChannelModel | undefined
  #lost: Promise<void> = Promise.resolve()
  #stopping = false
  #hasDeadLetters = false

  constructor(options: BusViewOptions) {
    this.#options = options
    this.#broker = parseBrokerUrl(options.url, 'EVENTAIL_AMQP_URL')
    this.shownUrl = this.#broker.shown
  }

  /** Whether dead letters can be seen: there is an exchange for them. */
  get hasDeadLetters(): boolean {
    return this.#hasDeadLetters
  }

  /** Messages so far, by kind, in words. */
  get summary(): string {
    return Object.entries(this.#counts)
      .map(([kind, count]) => `${count} ${kind}${count === 1 ? '' : 's'}`)
      .join(', ')
  }

  /** Resolves when the view sees everything from now on. @throws Error when the broker cannot be reached */
  async start(): Promise<void> {
    await this.#attach()
    void this.#stayAttached()
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#connection?.close().catch(() => {})
  }

  async #stayAttached(): Promise<void> {
    for (;;) {
      await this.#lost
      if (this.#stopping) return
      const since = performance.now()
      this.#options.note('the view lost the broker, and waits for it')
      await this.#attachAgain()
      if (this.#stopping) return
      const seconds = ((performance.now() - since) / 1000).toFixed(1)
      this.#options.note(`the view is back after ${seconds} s; what was published meanwhile does not show`)
    }
  }

  async #attachAgain(): Promise<void> {
    while (!this.#stopping) {
      const attached = await this.#attach().then(
        () => true,
        () => false,
      )
      if (attached) return
      await delay(RETRY_MS, undefined, { ref: false })
    }
  }

  async #attach(): Promise<void> {
    const { tls, host: hostname, port, user: username, password, vhost } = this.#broker
    const protocol = tls ? 'amqps' : 'amqp'
    const connection = await amqp.connect(
      { protocol, hostname, port, username, password, vhost, heartbeat: 10 },
      { timeout: CONNECT_TIMEOUT_MS, clientProperties: { connection_name: 'bus view' } },
    )
    // an error is followed by the close that counts
    connection.on('error', () => {})
    this.#lost = new Promise((resolve) => connection.once('close', () => resolve()))
    this.#connection = connection
    try {
      await this.#listen(connection)
    } catch (error) {
      await connection.close().catch(() => {})
      throw error
    }
  }

  async #listen(connection: ChannelModel): Promise<void> {
    const channel = await connection.createChannel()
    channel.on('error', () => {})
    channel.on('close', () => void connection.close().catch(() => {}))
    const { queue } = await channel.assertQueue('', { exclusive: true, durable: false })
    for (const exchange of Object.values(EXCHANGES)) {
      await channel.assertExchange(exchange, 'topic', { durable: true })
      await channel.bindQueue(queue, exchange, '#')
    }
    this.#hasDeadLetters = this.#options.ours || (await exchangeExists(connection, DEAD_LETTER_EXCHANGE))
    if (this.#options.ours) {
      await channel.assertExchange(DEAD_LETTER_EXCHANGE, 'topic', { durable: true })
      await channel.assertQueue(DEAD_LETTER_QUEUE, { durable: true })
      await channel.bindQueue(DEAD_LETTER_QUEUE, DEAD_LETTER_EXCHANGE, '#')
    }
    if (this.#hasDeadLetters) await channel.bindQueue(queue, DEAD_LETTER_EXCHANGE, '#')
    await channel.consume(queue, (message) => message !== null && this.#onMessage(message), { noAck: true })
  }

  #onMessage(message: ConsumeMessage): void {
    this.#counts[kindOf(message)] += 1
    const line = lineOf(message, new Date(), this.#options.style())
    if (line !== undefined) this.#options.show(line)
  }
}

async function exchangeExists(connection: ChannelModel, exchange: string): Promise<boolean> {
  const channel = await connection.createChannel()
  channel.on('error', () => {})
  const exists = await channel.checkExchange(exchange).then(
    () => true,
    () => false,
  )
  // a check that failed has closed the channel
  if (exists) await channel.close()
  return exists
}
