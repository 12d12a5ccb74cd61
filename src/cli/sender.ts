/**
 * A connection that sends, for one command: no service, nothing on the log bus, and no queue but one for the result of a
 * command. What the broker refuses is not tried again: an operator wants to know.
 */
import { Messenger } from '../service/messenger.ts'
import { AmqpConnection, type ConnectionSettings, within } from '../transport/amqp-connection.ts'
import type { BrokerUrl } from '../transport/broker-url.ts'
import { ConsumeChannel } from '../transport/consume-channel.ts'
import { ensureExchanges } from '../transport/declaring.ts'
import { Publisher } from '../transport/publisher.ts'
import { SYSTEM_CLOCK } from '../time/clock.ts'
import { EXCHANGES } from '../topology/names.ts'
import type { IncomingMessage } from '../wire/message.ts'
import type { PayloadFormat } from '../wire/payload.ts'
import type { Terminal } from './command-line.ts'

const MIB = 1024 * 1024
const PUBLISHER = {
  window: { messages: 1000, bytes: 16 * MIB },
  buffer: { messages: 10_000, bytes: 256 * MIB },
  retryDelayMs: undefined,
  confirmTimeoutMs: 30_000,
  blockedTimeoutMs: 3_600_000,
  clock: SYSTEM_CLOCK,
}
const MAX_PAYLOAD_BYTES = 128 * MIB
const ANSWER_MS = 5_000
const CLOSE_MS = 2_000

export class Sender implements AsyncDisposable {
  readonly publisher: Publisher
  /** Aborts when the connection is lost, with the reason. What is not confirmed then is rejected. */
  readonly broken: AbortSignal
  readonly #connection: AmqpConnection

  private constructor(connection: AmqpConnection, terminal: Terminal) {
    const broken = new AbortController()
    this.broken = broken.signal
    this.#connection = connection
    this.publisher = new Publisher(PUBLISHER, {
      onReturned: () => {},
      onTrouble: (level, text) => {
        // a message that is refused is told by whoever sent it
        if (level !== 'ERROR') terminal.say(text)
      },
    })
    void connection.lost.then((reason) => {
      broken.abort(reason)
      this.publisher.close()
    })
  }

  /**
   * @throws ConnectionError, AccessRefusedError
   */
  static async open(broker: BrokerUrl, settings: ConnectionSettings, terminal: Terminal): Promise<Sender> {
    const connection = await AmqpConnection.open(broker, settings, terminal.signal)
    const sender = new Sender(connection, terminal)
    try {
      await sender.publisher.attach(connection)
    } catch (error) {
      await sender[Symbol.asyncDispose]()
      throw error
    }
    return sender
  }

  /** What fills in envelopes for whom nobody else does. @param service told as `app_id`, and part of relative reply keys */
  messenger(service: string, format: PayloadFormat): Messenger {
    return new Messenger(service, { format, maxPayloadBytes: MAX_PAYLOAD_BYTES }, this.publisher)
  }

  /**
   * Makes the exchanges of the bus unless they are there and, with a key, a queue of this connection's own that takes what is sent to it.
   * @throws TopologyError
   */
  async declare(resultKey?: string, onResult: (message: IncomingMessage) => void = () => {}): Promise<void> {
    await ensureExchanges(this.#connection, ANSWER_MS)
    if (resultKey === undefined) return
    const channel: ConsumeChannel<'command'> = await ConsumeChannel.open(this.#connection, 1, ANSWER_MS, {
      onDelivery: (_queue, message) => {
        channel.acknowledger.ack(message.deliveryTag)
        onResult(message)
      },
      onEnd: (reason) => this.#connection.fail(reason),
    })
    const exchange = EXCHANGES.command
    await channel.consume('command', await channel.declareQueue({ name: '', exchange, bindings: [resultKey] }))
  }

  /** Consumers of a queue; undefined when there is no such queue. */
  async consumersOf(queue: string): Promise<number | undefined> {
    const channel = await this.#connection.openChannel(() => {})
    try {
      const { consumerCount } = await within(channel.queueDeclare(queue, { passive: true }), ANSWER_MS, queue)
      await channel.close()
      return consumerCount
    } catch (error) {
      if (error instanceof Error && /NOT_FOUND/.test(error.message)) return undefined
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.publisher.close()
    await this.#connection.shutDown(CLOSE_MS)
  }
}
