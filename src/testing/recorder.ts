/**
 * What is said on a bus of tests: everything that the broker took, and everything that died, in its order. To watch must not make a message
 * routable that nobody takes: the broker in this process knows who only watches, and of a RabbitMQ the trace is read.
 */
import { EXCHANGES } from '../topology/names.ts'
import { AmqpConnection } from '../transport/amqp-connection.ts'
import { parseBrokerUrl } from '../transport/broker-url.ts'
import { ConsumeChannel } from '../transport/consume-channel.ts'
import { TRACE_EXCHANGE, traced } from './trace.ts'
import { type BusMessage, busMessageOf, type DeadLetter, deadLetterOf } from './bus-message.ts'
import { DEAD_LETTER_EXCHANGE } from '../topology/dead-letters.ts'
import type { TestBroker } from './test-broker.ts'

const PREFETCH = 1000
const TIMEOUT_MS = 5_000
const HEARTBEAT_MS = 30_000

export class Recorder {
  readonly published: BusMessage[] = []
  readonly deadLetters: DeadLetter[] = []
  /** The queue that everything goes to. */
  queue = ''
  readonly #connection: AmqpConnection
  #channel: ConsumeChannel<'tap'> | undefined

  private constructor(connection: AmqpConnection) {
    this.#connection = connection
  }

  /** @throws ConnectionError, AccessRefusedError, TopologyError */
  static async open({ url, kind }: Pick<TestBroker, 'url' | 'kind'>): Promise<Recorder> {
    const settings = { name: 'recorder of tests', connectTimeoutMs: TIMEOUT_MS, heartbeatMs: HEARTBEAT_MS }
    const connection = await AmqpConnection.open(parseBrokerUrl(url), settings, new AbortController().signal)
    const recorder = new Recorder(connection)
    try {
      await recorder.#begin(kind === 'rabbitmq')
    } catch (error) {
      await recorder.close()
      throw error
    }
    return recorder
  }

  /**
   * Waits until everything has come that the broker had taken before: its channel may answer before it sends what is on its way to it,
   * but only once.
   * @throws ConnectionError
   */
  async catchUp(): Promise<void> {
    for (let nothingWaits = 0; nothingWaits < 2;) {
      const waiting = await this.#channel?.waitingIn(this.queue)
      nothingWaits = waiting === 0 ? nothingWaits + 1 : 0
    }
  }

  async close(): Promise<void> {
    await this.#connection.shutDown(TIMEOUT_MS)
  }

  async #begin(isTraced: boolean): Promise<void> {
    const channel: ConsumeChannel<'tap'> = await ConsumeChannel.open(this.#connection, PREFETCH, TIMEOUT_MS, {
      onDelivery: (_kind, message) => {
        channel.acknowledger.ack(message.deliveryTag)
        if (message.exchange === DEAD_LETTER_EXCHANGE) this.deadLetters.push(deadLetterOf(message))
        else this.published.push(busMessageOf(isTraced ? traced(message) : message))
      },
      onEnd: (reason) => this.#connection.fail(reason),
    })
    this.#channel = channel
    await channel.prepareExchanges('all')
    const declaring = await this.#connection.openChannel(() => {})
    await declaring.exchangeDeclare(DEAD_LETTER_EXCHANGE, 'topic', { durable: true })
    await declaring.close()
    this.queue = await channel.declareQueue({ name: '', exchange: DEAD_LETTER_EXCHANGE, bindings: ['#'] })
    for (const exchange of [EXCHANGES.event, EXCHANGES.command, EXCHANGES.configuration])
      await (isTraced
        ? channel.bind(this.queue, TRACE_EXCHANGE, [`publish.${exchange}`])
        : channel.bind(this.queue, exchange, ['#']))
    await channel.consume('tap', this.queue)
  }
}
