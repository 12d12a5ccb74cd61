/**
 * Taking messages from a queue, for those who look at it or move it: nothing is acknowledged unless asked for,
 * and whatever is not goes back to where it was, also when this process dies.
 */
import type { AMQPChannel } from '@cloudamqp/amqp-client'
import { TopologyError } from '../errors.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { AmqpConnection, type ConnectionSettings, plain, within } from './amqp-connection.ts'
import type { BrokerUrl } from './broker-url.ts'
import { incoming } from './consume-channel.ts'

const TIMEOUT_MS = 30_000
/** Messages that are asked for at the same time. */
const CHUNK = 50

export class QueueReader implements AsyncDisposable {
  readonly queue: string
  readonly #connection: AmqpConnection
  readonly #channel: AMQPChannel
  #taken = 0

  private constructor(queue: string, connection: AmqpConnection, channel: AMQPChannel) {
    this.queue = queue
    this.#connection = connection
    this.#channel = channel
  }

  /** @throws ConnectionError; TopologyError when there is no such queue, or it belongs to another connection */
  static async open(
    broker: BrokerUrl,
    queue: string,
    settings: ConnectionSettings,
    signal: AbortSignal,
  ): Promise<QueueReader> {
    const connection = await AmqpConnection.open(broker, settings, signal)
    try {
      const reader = new QueueReader(queue, connection, await connection.openChannel(() => {}))
      await reader.counts()
      return reader
    } catch (error) {
      await connection.shutDown(TIMEOUT_MS)
      throw error
    }
  }

  /** Messages that are ready, and consumers of the queue. */
  async counts(): Promise<{ messages: number; consumers: number }> {
    try {
      const declared = this.#channel.queueDeclare(this.queue, { passive: true })
      const { messageCount, consumerCount } = await within(declared, TIMEOUT_MS, `queue '${this.queue}'`)
      return { messages: messageCount, consumers: consumerCount }
    } catch (error) {
      const text = error instanceof Error ? error.message.replace(/^channel \d+ closed: /, '') : String(error)
      throw new TopologyError(`queue '${this.queue}' cannot be read: ${text}`, { cause: plain(error) })
    }
  }

  /** The next messages, at most so many, in order; none when none is ready. */
  async take(most: number): Promise<readonly IncomingMessage[]> {
    // all at once: an answer each would cost a round trip each
    const asked = Array.from({ length: most }, () => this.#channel.basicGet(this.queue, { noAck: false }))
    const messages = await within(Promise.all(asked), TIMEOUT_MS, `reading '${this.queue}'`)
    return messages.flatMap((message) => {
      if (message === null) return []
      this.#taken = message.deliveryTag
      return [incoming(message)]
    })
  }

  /** The next `count` messages, read some at a time. */
  async *messages(count: number): AsyncGenerator<IncomingMessage> {
    for (let left = count; left > 0;) {
      const taken = await this.take(Math.min(left, CHUNK))
      if (taken.length === 0) return
      left -= taken.length
      yield* taken
    }
  }

  /** Whether there is an exchange of this name. */
  async hasExchange(name: string): Promise<boolean> {
    if (name === '') return true
    // what is asked for in vain costs the channel
    const channel = await this.#connection.openChannel(() => {})
    try {
      await within(channel.exchangeDeclare(name, 'topic', { passive: true }), TIMEOUT_MS, `exchange '${name}'`)
      await channel.close()
      return true
    } catch (error) {
      if (error instanceof Error && /NOT_FOUND/.test(error.message)) return false
      throw error
    }
  }

  /** Removes a message from the queue for good; with `multiple`, all that were taken before it as well. */
  async acknowledge(message: IncomingMessage, multiple = false): Promise<void> {
    await this.#channel.basicAck(message.deliveryTag, multiple)
  }

  /** Puts everything that was taken and not acknowledged back in its place. */
  async putBack(): Promise<void> {
    if (this.#taken > 0 && !this.#channel.closed) await this.#channel.basicNack(this.#taken, true, true)
    this.#taken = 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.putBack()
    await this.#connection.shutDown(TIMEOUT_MS)
  }
}
