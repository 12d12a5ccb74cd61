/** An observer and peer that is not our code: amqplib, with nothing of the toolkit in between. */
import amqp, { type Channel, type ChannelModel, type ConfirmChannel, type ConsumeMessage, type Options } from 'amqplib'

export interface ProbeMessage extends Options.Publish {
  /** @default the default exchange */
  readonly exchange?: string
  readonly routingKey: string
  /** Bytes are sent as they are; anything else as JSON. @default null */
  readonly body?: unknown
}

/** Messages that arrived at a queue, in order. */
export class Listening {
  readonly queue: string
  readonly received: ConsumeMessage[] = []
  #waiting: ((message: ConsumeMessage) => void)[] = []

  constructor(queue: string) {
    this.queue = queue
  }

  /** How many arrived that `next` has not given out. */
  get size(): number {
    return this.received.length
  }

  add(message: ConsumeMessage): void {
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.received.push(message)
    else waiting(message)
  }

  /** The next message. @throws Error when none comes in time */
  async next({ timeoutMs = 10_000 } = {}): Promise<ConsumeMessage> {
    const ready = this.received.shift()
    if (ready !== undefined) return ready
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((waiter) => waiter !== take)
        reject(new Error(`no message on '${this.queue}' within ${timeoutMs} ms`))
      }, timeoutMs)
      const take = (message: ConsumeMessage): void => {
        clearTimeout(timer)
        resolve(message)
      }
      this.#waiting.push(take)
    })
  }
}

export class Probe {
  readonly #connection: ChannelModel
  readonly #channel: ConfirmChannel

  private constructor(connection: ChannelModel, channel: ConfirmChannel) {
    this.#connection = connection
    this.#channel = channel
  }

  static async open(url: string): Promise<Probe> {
    const connection = await amqp.connect(url)
    connection.on('error', () => {})
    const channel = await connection.createConfirmChannel()
    channel.on('error', () => {})
    return new Probe(connection, channel)
  }

  /** A channel of its own, for what may close it. */
  async channel(): Promise<Channel> {
    const channel = await this.#connection.createChannel()
    channel.on('error', () => {})
    return channel
  }

  /** Listens to an exchange of the bus, with a queue that is bound when this resolves. */
  async listen(exchange: string, ...patterns: string[]): Promise<Listening> {
    await this.#channel.assertExchange(exchange, 'topic', { durable: true })
    const { queue } = await this.#channel.assertQueue('', { exclusive: true })
    for (const pattern of patterns) await this.#channel.bindQueue(queue, exchange, pattern)
    return this.consume(queue)
  }

  /** Consumes from a queue and acknowledges what comes. */
  async consume(queue: string): Promise<Listening> {
    const listening = new Listening(queue)
    await this.#channel.consume(queue, (message) => message !== null && listening.add(message), { noAck: true })
    return listening
  }

  /** Log records of the bus, as objects. */
  async logs(...patterns: string[]): Promise<Listening> {
    return this.listen('logs', ...patterns)
  }

  /** Publishes, persistent, and waits for the confirm. */
  async publish({ exchange = '', routingKey, body = null, ...options }: ProbeMessage): Promise<void> {
    const bytes = body instanceof Uint8Array ? Buffer.from(body) : Buffer.from(JSON.stringify(body))
    const type = body instanceof Uint8Array ? {} : { contentType: 'application/json' }
    await new Promise<void>((resolve, reject) => {
      this.#channel.publish(exchange, routingKey, bytes, { ...type, persistent: true, ...options }, (error) =>
        error === null || error === undefined ? resolve() : reject(error as Error),
      )
    })
  }

  /** Publishes an event, in a conversation. */
  event(routingKey: string, body?: unknown, options: Options.Publish = {}): Promise<void> {
    return this.publish({ exchange: 'events', routingKey, body, headers: { conversation_id: 'c1' }, ...options })
  }

  /** Publishes a command, in a conversation. */
  command(routingKey: string, body?: unknown, options: Options.Publish = {}): Promise<void> {
    const own = { headers: { conversation_id: 'c1' }, replyTo: 'probe.Result', correlationId: 'k1' }
    return this.publish({ exchange: 'commands', routingKey, body, ...own, ...options })
  }

  /** Messages ready in a queue, and its consumers. @throws Error when there is no such queue */
  async counts(queue: string): Promise<{ messages: number; consumers: number }> {
    const channel = await this.channel()
    try {
      const { messageCount, consumerCount } = await channel.checkQueue(queue)
      return { messages: messageCount, consumers: consumerCount }
    } finally {
      await channel.close().catch(() => {})
    }
  }

  async declareQueue(queue: string, options: Options.AssertQueue = { durable: true }): Promise<void> {
    await this.#channel.assertQueue(queue, options)
  }

  async bind(queue: string, exchange: string, pattern: string): Promise<void> {
    await this.#channel.assertExchange(exchange, 'topic', { durable: true })
    await this.#channel.bindQueue(queue, exchange, pattern)
  }

  /** Makes the exchanges of the bus, as an administrator does. */
  async declareExchanges(): Promise<void> {
    for (const exchange of ['events', 'commands', 'configurations', 'logs'])
      await this.#channel.assertExchange(exchange, 'topic', { durable: true })
  }

  async deleteQueue(queue: string): Promise<void> {
    await this.#channel.deleteQueue(queue)
  }

  async deleteExchange(exchange: string): Promise<void> {
    await this.#channel.deleteExchange(exchange)
  }

  async close(): Promise<void> {
    await this.#connection.close().catch(() => {})
  }
}

/** The body of a message that is JSON. */
export function jsonOf(message: ConsumeMessage): unknown {
  return JSON.parse(message.content.toString('utf8'))
}

/** A log record of the bus. */
export function recordOf(message: ConsumeMessage): Record<string, unknown> {
  return jsonOf(message) as Record<string, unknown>
}
