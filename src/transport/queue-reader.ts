/**
 * Taking messages from a queue, for those who look at it or move it: nothing is acknowledged unless asked for,
 * and whatever is not goes back to where it was, also when this process dies.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { AMQPChannel } from '@cloudamqp/amqp-client'
import { ConnectionError, TopologyError } from '../errors.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { AmqpConnection, type ConnectionSettings, plain, within } from './amqp-connection.ts'
import type { BrokerUrl } from './broker-url.ts'
import { incoming } from './consume-channel.ts'

const TIMEOUT_MS = 30_000
/** Messages that are asked for at the same time. */
const CHUNK = 50
/** How often the broker is asked whether it has put everything back, and how long nothing has to change before it is taken to. */
const PUT_BACK_POLL_MS = 20
const STILL_MS = 3_000

export class QueueReader implements AsyncDisposable {
  readonly queue: string
  readonly #connection: AmqpConnection
  #channel: AMQPChannel | undefined
  /** Messages that are taken and neither acknowledged nor put back. */
  #held = 0
  /** When the oldest of them was taken, by the monotonic clock. */
  #heldSince = 0
  /** Why the broker closed the channel. */
  #closedBecause = ''

  private constructor(queue: string, connection: AmqpConnection) {
    this.queue = queue
    this.#connection = connection
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
      const reader = new QueueReader(queue, connection)
      await reader.counts()
      return reader
    } catch (error) {
      await connection.shutDown(TIMEOUT_MS)
      throw error
    }
  }

  /** How long the oldest message that is held has been held, in milliseconds; brokers allow that for half an hour, as a rule. */
  get heldMs(): number {
    return this.#held === 0 ? 0 : performance.now() - this.#heldSince
  }

  /** Messages that are ready, and consumers of the queue. */
  async counts(): Promise<{ messages: number; consumers: number }> {
    const channel = await this.#open()
    try {
      const declared = channel.queueDeclare(this.queue, { passive: true })
      const { messageCount, consumerCount } = await within(declared, TIMEOUT_MS, `queue '${this.queue}'`)
      return { messages: messageCount, consumers: consumerCount }
    } catch (error) {
      const text = error instanceof Error ? error.message.replace(/^channel \d+ closed: /, '') : String(error)
      throw new TopologyError(`queue '${this.queue}' cannot be read: ${text}`, { cause: plain(error) })
    }
  }

  /** The next messages, at most so many, in order; none when none is ready. */
  async take(most: number): Promise<readonly IncomingMessage[]> {
    const channel = await this.#open()
    // all at once: an answer each would cost a round trip each
    const asked = Array.from({ length: most }, () => channel.basicGet(this.queue, { noAck: false }))
    const messages = await this.#telling(within(Promise.all(asked), TIMEOUT_MS, `reading '${this.queue}'`))
    const taken = messages.flatMap((message) => (message === null ? [] : [incoming(message)]))
    if (this.#held === 0) this.#heldSince = performance.now()
    this.#held += taken.length
    return taken
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
  hasExchange(name: string): Promise<boolean> {
    return name === ''
      ? Promise.resolve(true)
      : this.#exists(`exchange '${name}'`, (channel) => channel.exchangeDeclare(name, 'topic', { passive: true }))
  }

  /** Whether there is a queue of this name. */
  hasQueue(name: string): Promise<boolean> {
    return this.#exists(`queue '${name}'`, (channel) => channel.queueDeclare(name, { passive: true }))
  }

  /** Removes messages from the queue for good; `all` when they are all that is held. */
  async acknowledge(messages: readonly IncomingMessage[], all: boolean): Promise<void> {
    const channel = await this.#open()
    const last = messages.at(-1)
    if (last === undefined) return
    // one acknowledgement is for everything that was taken before as well
    const gone = all
      ? [channel.basicAck(last.deliveryTag, true)]
      : messages.map((one) => channel.basicAck(one.deliveryTag))
    await this.#telling(Promise.all(gone))
    this.#held -= messages.length
  }

  /**
   * Puts everything that is held back in its place, and waits until the broker has done that. It does so in one go when the channel
   * is closed; given back one by one, tens of thousands of messages would keep the queue busy for minutes.
   */
  async putBack(): Promise<void> {
    const held = this.#held
    this.#held = 0
    if (held === 0 || this.#connection.closed) return
    const { messages: before } = await this.counts()
    const channel = this.#channel
    this.#channel = undefined
    await within(channel?.close() ?? Promise.resolve(), TIMEOUT_MS, 'putting the messages back')
    let changed = performance.now()
    let seen = -1
    while (seen < before + held && performance.now() - changed < STILL_MS) {
      const { messages } = await this.counts()
      // others may take some meanwhile: it is over as well when nothing changes any more
      if (messages !== seen) changed = performance.now()
      seen = messages
      await delay(PUT_BACK_POLL_MS)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.putBack().catch(() => {})
    await this.#connection.shutDown(TIMEOUT_MS)
  }

  async #open(): Promise<AMQPChannel> {
    if (this.#closedBecause !== '') throw this.#closed()
    this.#channel ??= await this.#connection.openChannel((reason) => {
      this.#closedBecause = reason.message
    })
    return this.#channel
  }

  /** Whether something is there. What is asked for in vain costs the channel. */
  async #exists(what: string, ask: (channel: AMQPChannel) => Promise<unknown>): Promise<boolean> {
    const channel = await this.#connection.openChannel(() => {})
    try {
      await within(ask(channel), TIMEOUT_MS, what)
      await channel.close()
      return true
    } catch (error) {
      const text = error instanceof Error ? error.message : ''
      if (/NOT_FOUND/.test(text)) return false
      // it belongs to somebody alone, and so it is there
      if (/RESOURCE_LOCKED/.test(text)) return true
      throw error
    }
  }

  /** The outcome; of a channel that the broker closed, with its reason. */
  async #telling<T>(outcome: Promise<T>): Promise<T> {
    try {
      return await outcome
    } catch (error) {
      throw this.#closedBecause === '' ? error : this.#closed()
    }
  }

  #closed(): ConnectionError {
    return new ConnectionError(`queue '${this.queue}': the broker ended the reading: ${this.#closedBecause}`)
  }
}
