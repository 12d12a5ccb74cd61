/**
 * A connection that publishes and logs for a program that is not a service: made when something is to be sent, made again
 * whenever it is lost, and given up after as many tries as were asked for.
 */
import { ConnectionError, TopologyError } from '../errors.ts'
import { asError } from '../log/describe-error.ts'
import { Logger, type LogSink } from '../log/logger.ts'
import { OutageReport } from '../service/outage.ts'
import { publisherSettingsOf, type Settings } from '../service/settings.ts'
import { EXCHANGES } from '../topology/names.ts'
import { AmqpConnection } from '../transport/amqp-connection.ts'
import type { BrokerUrl } from '../transport/broker-url.ts'
import { ConsumeChannel } from '../transport/consume-channel.ts'
import { LogChannel } from '../transport/log-channel.ts'
import { Publisher } from '../transport/publisher.ts'
import { Backoff, pause, unlessAborted } from '../transport/reconnect.ts'
import type { IncomingMessage, OutgoingMessage } from '../wire/message.ts'

export interface LinkOptions {
  /** In whose name logs are written. */
  readonly name: string
  readonly settings: Settings
  /** How often connecting is tried again before everything is rejected. */
  readonly maxRetries: number
  /** The routing key of the results that come back. */
  readonly replyTo: string
  /** A result came. */
  readonly onReply: (message: IncomingMessage) => void
  /** No broker could be reached, and what was published has been rejected; or the broker refuses the queue for results. */
  readonly onGivenUp: (because: Error) => void
}

const CLOSE_MS = 2_000
const PREFETCH = 1_000

export class Link {
  readonly logger: Logger
  readonly #options: LinkOptions
  readonly #publisher: Publisher
  readonly #logChannel = new LogChannel((text) => this.logger.write('WARNING', text))
  readonly #outage: OutageReport
  readonly #backoff = new Backoff()
  readonly #closing = new AbortController()
  #connection: AmqpConnection | undefined
  #channel: ConsumeChannel<'command'> | undefined
  /** Whether results are consumed as well. */
  #isCalling = false
  #consuming: Promise<void> | undefined
  #living: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor(options: LinkOptions) {
    this.#options = options
    const { name, settings } = options
    this.#publisher = new Publisher(publisherSettingsOf(settings), {
      // whoever published is told by the promise
      onReturned: () => {},
      onTrouble: (level, text) => this.logger.write(level, text),
    })
    this.logger = new Logger({
      service: name,
      sink: logSinkOf(this.#logChannel, (message) => this.log(message)),
      stderrLevel: settings.stderrLevel,
      onRecord: settings.onLog,
    })
    this.#outage = new OutageReport(this.logger)
  }

  /** Messages that were published and are not confirmed yet. */
  get pending(): number {
    return this.#publisher.pending
  }

  /** Sends a log record, now or when there is a connection; it is neither confirmed nor kept for ever. */
  log(message: OutgoingMessage): void {
    this.#logChannel.publish(message)
    this.#wake()
  }

  /** As {@link Publisher.publish}; connects where that has not been done. Rejects with ConnectionError when given up. */
  publish(message: OutgoingMessage): Promise<void> {
    const sent = this.#publisher.publish(message)
    this.#wake()
    return sent
  }

  /**
   * From now on there is a queue for results, before any message that is published after this is sent.
   * @throws TopologyError
   */
  async expectReplies(): Promise<void> {
    this.#isCalling = true
    const [connection, channel] = [this.#connection, this.#channel]
    // a connection that was made before has none yet
    if (channel === undefined) return
    try {
      await this.#consumeReplies(channel)
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
      // what was lost with the connection, or is not known for certain, is done again with the next
      connection?.fail(error)
    }
  }

  /** Waits until all logs are on their way and everything else is confirmed, and disconnects. What is not confirmed by then is rejected. Never rejects. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const timeUp = new AbortController()
    const late = pause(this.#options.settings.drainTimeoutMs, timeUp.signal).then(() => timeUp.abort())
    // once it has given up nothing more is sent, but for what is published because of that
    while (this.#living !== undefined && !timeUp.signal.aborted) {
      const allSent = Promise.all([this.#publisher.idle(), this.#logChannel.idle()]).then(() => timeUp.abort())
      await Promise.race([allSent, this.#living, late])
    }
    timeUp.abort()
    this.#closing.abort()
    this.#publisher.close(`endpoint '${this.#options.name}' is closed`)
    await this.#living
  }

  /** Something is to be sent. */
  #wake(): void {
    if (this.#living !== undefined || this.#closing.signal.aborted) return
    const living: Promise<void> = this.#live().finally(() => {
      if (this.#living === living) this.#living = undefined
    })
    this.#living = living
  }

  /** Connects, again and again, until it is closed or has tried often enough. */
  async #live(): Promise<void> {
    const { brokers } = this.#options.settings
    let failures = 0
    for (let attempt = 0; !this.#closing.signal.aborted; attempt++) {
      const broker = brokers[attempt % brokers.length]
      if (broker === undefined) return
      const start = performance.now()
      let worked = false
      let reason: Error
      try {
        const connection = await this.#connect(broker)
        failures = 0
        worked = true
        this.#outage.over(broker)
        const lost = await unlessAborted(connection.lost, this.#closing.signal)
        reason = lost ?? new ConnectionError(`${broker.shown}: the connection was closed`)
      } catch (error) {
        reason = asError(error)
      }
      await this.#disconnect()
      if (this.#closing.signal.aborted) return
      failures += worked ? 0 : 1
      this.#outage.goesOn(reason)
      if (failures > this.#options.maxRetries) {
        // whoever is told of it may publish again at once
        this.#living = undefined
        this.#giveUp(reason)
        return
      }
      // the first time at once
      const wait = failures === 1 ? 0 : this.#backoff.next(worked ? performance.now() - start : undefined, reason)
      await pause(wait, this.#closing.signal)
    }
  }

  async #connect(broker: BrokerUrl): Promise<AmqpConnection> {
    const { connectTimeoutMs, heartbeatMs, tls } = this.#options.settings
    const settings = { name: `${this.#options.name}@${process.pid} (publish)`, connectTimeoutMs, heartbeatMs, tls }
    const connection = await AmqpConnection.open(broker, settings, this.#closing.signal)
    this.#connection = connection
    const channel: ConsumeChannel<'command'> = await ConsumeChannel.open(connection, PREFETCH, connectTimeoutMs, {
      onDelivery: (_queue, message) => {
        channel.acknowledger.ack(message.deliveryTag)
        this.#options.onReply(message)
      },
      onEnd: (reason) => connection.fail(reason),
    })
    await channel.prepareExchanges(this.#options.settings.declare)
    this.#channel = channel
    if (this.#isCalling) {
      await this.#consumeReplies(channel).catch((error: unknown) => {
        if (error instanceof TopologyError) this.#options.onGivenUp(error)
        throw error
      })
    }
    // a broker that blocks publishers does so at the first message: all channels are open by then
    await this.#logChannel.attach(connection, this.#options.settings.declare)
    await this.#publisher.attach(connection)
    this.#logChannel.release()
    return connection
  }

  async #consumeReplies(channel: ConsumeChannel<'command'>): Promise<void> {
    this.#consuming ??= channel
      .declareQueue({ name: '', exchange: EXCHANGES.command, bindings: [this.#options.replyTo] })
      .then((queue) => channel.consume('command', queue))
    try {
      await this.#consuming
    } catch (error) {
      // publishing goes on without
      if (error instanceof TopologyError) this.#isCalling = false
      throw error
    }
  }

  async #disconnect(): Promise<void> {
    this.#publisher.detach()
    this.#logChannel.detach()
    this.#channel = undefined
    this.#consuming = undefined
    const connection = this.#connection
    this.#connection = undefined
    await connection?.shutDown(CLOSE_MS)
  }

  #giveUp(reason: Error): void {
    const tries = this.#options.maxRetries + 1
    const because = (what: string): Error =>
      new ConnectionError(
        `${what}: no broker could be reached after ${tries} ${tries === 1 ? 'try' : 'tries'}: ${reason.message}`,
        {
          cause: reason,
        },
      )
    this.#publisher.rejectAll(({ routingKey }) => because(`message '${routingKey}' was not sent`))
    this.#options.onGivenUp(because('no result'))
  }
}

function logSinkOf(channel: LogChannel, publish: (message: OutgoingMessage) => void): LogSink {
  return {
    publish,
    get isOpen() {
      return channel.isOpen
    },
  }
}
