/**
 * The channel on which a worker declares its queues and consumes: deliveries in, acknowledgements out.
 *
 * Whatever ends it (the broker closes it, cancels a consumer because its queue was deleted, or the connection breaks) is
 * told once, through `onEnd`: the owner then begins a new session, in which everything is declared again.
 */
import type { AMQPChannel, AMQPMessage } from '@cloudamqp/amqp-client'
import { ConnectionError } from '../errors.ts'
import type { Declare, QueueDeclaration } from '../topology/plan.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { Acknowledger } from './acknowledger.ts'
import { type AmqpConnection, plain, within } from './amqp-connection.ts'
import { answered, checkExchanges, checkQueue, declareExchanges } from './declaring.ts'

const EMPTY = new Uint8Array(0)

/** @typeParam K what the owner calls its queues */
export interface ConsumeEvents<K extends string> {
  onDelivery(queue: K, message: IncomingMessage): void
  onEnd(reason: Error): void
}

export class ConsumeChannel<K extends string> {
  readonly acknowledger: Acknowledger
  readonly #channel: AMQPChannel
  readonly #events: ConsumeEvents<K>
  readonly #timeoutMs: number
  readonly #kinds = new Map<string, K>()
  readonly #tags = new Set<string>()
  #arrived: [K, IncomingMessage][] = []
  #cancelling = false

  private constructor(channel: AMQPChannel, events: ConsumeEvents<K>, timeoutMs: number) {
    this.#channel = channel
    this.#events = events
    this.#timeoutMs = timeoutMs
    this.acknowledger = new Acknowledger(channel)
    channel.deliver = (message) => this.#onMessage(message)
  }

  /** @param timeoutMs how long the broker may take for each answer */
  static async open<K extends string>(
    connection: AmqpConnection,
    prefetch: number,
    timeoutMs: number,
    events: ConsumeEvents<K>,
  ): Promise<ConsumeChannel<K>> {
    const channel = await connection.openChannel((reason) => events.onEnd(reason))
    await within(channel.basicQos(prefetch), timeoutMs, 'setting the prefetch')
    return new ConsumeChannel(channel, events, timeoutMs)
  }

  /**
   * Declares the exchanges of the bus, or checks that they are there.
   * @throws TopologyError when one is missing, or exists with other arguments, or permission is missing
   */
  async prepareExchanges(declare: Declare): Promise<void> {
    if (declare === 'all') await declareExchanges(this.#channel, this.#timeoutMs)
    else await checkExchanges(this.#channel, this.#timeoutMs)
  }

  /**
   * Declares and binds a queue, or checks that it is there. One without a name is made in any case.
   * @returns its name
   * @throws TopologyError when it is missing, or exists with other arguments, or permission is missing
   */
  async prepareQueue(plan: QueueDeclaration, declare: Declare): Promise<string> {
    if (declare !== 'nothing' || plan.name === '') return this.declareQueue(plan)
    await checkQueue(this.#channel, plan, this.#timeoutMs)
    return plan.name
  }

  /**
   * Declares and binds a queue.
   * @returns its name
   * @throws TopologyError when it exists with other arguments, or permission is missing
   */
  async declareQueue(plan: QueueDeclaration): Promise<string> {
    const shared = plan.name !== ''
    const what = shared ? `queue '${plan.name}'` : `the exclusive queue on '${plan.exchange}'`
    const declared = this.#channel.queueDeclare(plan.name, { durable: shared, exclusive: !shared, autoDelete: false })
    const { name } = await this.#answered(what, declared)
    await this.bind(name, plan.exchange, plan.bindings, what)
    return name
  }

  /**
   * Binds a queue that is there.
   * @throws TopologyError when the exchange is not, or permission is missing
   */
  async bind(
    queue: string,
    exchange: string,
    patterns: readonly string[],
    what = `the exclusive queue on '${exchange}'`,
  ): Promise<void> {
    for (const pattern of patterns) {
      await this.#answered(`binding '${pattern}' of ${what}`, this.#channel.queueBind(queue, exchange, pattern))
    }
  }

  async consume(kind: K, queue: string): Promise<void> {
    if (this.#cancelling) return
    const tag = tagOf(kind)
    this.#kinds.set(tag, kind)
    const started = this.#channel.basicConsume(queue, { tag, noAck: false, exclusive: false }, () => {})
    const consumer = await this.#answered(`consuming queue '${queue}'`, started)
    this.#tags.add(tag)
    // cancelled while the broker was being asked
    if (this.#cancelling) await this.cancel()
    consumer.wait().catch((error: unknown) => {
      // the broker cancels a consumer when its queue is deleted; a closed channel reports itself
      if (!this.#cancelling && !this.#channel.closed) {
        this.#events.onEnd(
          new ConnectionError(`the broker cancelled consuming from queue '${queue}': was it deleted?`, {
            cause: plain(error),
          }),
        )
      }
    })
  }

  /** Messages that wait in a queue. @throws ConnectionError when there is no answer; a queue that is not there ends the channel */
  async waitingIn(queue: string): Promise<number> {
    const answer = this.#channel.queueDeclare(queue, { passive: true })
    return (await within(answer, this.#timeoutMs, `looking at queue '${queue}'`)).messageCount
  }

  /** Whether the broker has this consumer. */
  consumes(kind: K): boolean {
    return this.#tags.has(tagOf(kind))
  }

  /** Asks for no more deliveries. Those that were delivered already still have to be settled. */
  async cancel(): Promise<void> {
    this.#cancelling = true
    const cancelled = [...this.#tags].map((tag) => this.#channel.basicCancel(tag))
    await within(Promise.all(cancelled), this.#timeoutMs, 'cancelling the consumers').catch(() => {})
  }

  /** Called while the library reads frames: what is delivered is handled after the frames of this read. */
  #onMessage(message: AMQPMessage): void {
    const kind = this.#kinds.get(message.consumerTag)
    if (kind === undefined) return
    this.acknowledger.delivered(message.deliveryTag)
    if (this.#arrived.length === 0) queueMicrotask(() => this.#dispatch())
    this.#arrived.push([kind, incoming(message)])
  }

  #dispatch(): void {
    const arrived = this.#arrived
    this.#arrived = []
    for (const [kind, message] of arrived) this.#events.onDelivery(kind, message)
  }

  #answered<T>(what: string, answer: Promise<T>): Promise<T> {
    return answered(what, answer, this.#timeoutMs)
  }
}

function tagOf(kind: string): string {
  return `eventail.${kind}`
}

/** A message as the rest of the toolkit knows it. */
export function incoming({
  exchange,
  routingKey,
  redelivered,
  deliveryTag,
  properties,
  body,
}: AMQPMessage): IncomingMessage {
  // the properties are what `readProperties` made of them
  return {
    exchange,
    routingKey,
    redelivered,
    deliveryTag,
    properties,
    body: body ?? EMPTY,
  }
}
