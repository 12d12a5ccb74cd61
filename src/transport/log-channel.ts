/**
 * The channel for log records: never awaited, never throws, and never in the way of other messages.
 *
 * While the broker cannot take them, the newest records are kept in a bounded buffer; what does not fit is counted. A broker that
 * refuses them (exchange deleted, permission missing) closes the channel, and costs nothing but the records on their way.
 */
import type { AMQPChannel } from '@cloudamqp/amqp-client'
import { EXCHANGES } from '../topology/names.ts'
import type { Declare } from '../topology/plan.ts'
import type { OutgoingMessage } from '../wire/message.ts'
import type { AmqpConnection } from './amqp-connection.ts'
import { Fifo } from './fifo.ts'
import { Occasional } from './occasional.ts'
import { encodePublish } from './publish-frames.ts'

/** Records kept while the broker cannot take them. */
const KEPT_RECORDS = 1000
const KEPT_BYTES = 8 * 1024 * 1024
/** Bytes that may wait in the socket before records are held back, so that logs cannot fill the memory. */
const SOCKET_BYTES = 4 * 1024 * 1024
/** How often records that were held back for that are tried again. */
const FLUSH_AGAIN_MS = 100
/** How long to wait after the broker closed the channel (exchange deleted, permission missing). */
const REOPEN_MS = 10_000

export class LogChannel {
  #connection: AmqpConnection | undefined
  #channel: AMQPChannel | undefined
  #isHeld = false
  #mayDeclare = true
  #reopen: NodeJS.Timeout | undefined
  #flushAgain: NodeJS.Timeout | undefined
  readonly #kept = new Fifo<OutgoingMessage>()
  #keptBytes = 0
  /** How many records were dropped. */
  dropped = 0
  #told = 0
  readonly #idle: (() => void)[] = []
  readonly #onTrouble: (text: string) => void
  readonly #refusalReport = new Occasional()
  /** Why the broker closed the channel, when it did so since records last went out. */
  #refusal: string | undefined

  /** @param onTrouble told what an operator should know of */
  constructor(onTrouble: (text: string) => void) {
    this.#onTrouble = onTrouble
  }

  /** Whether records go out now, and are not only kept. */
  get isOpen(): boolean {
    return this.#channel !== undefined && !this.#isHeld && this.#connection?.closed === false
  }

  publish(message: OutgoingMessage): void {
    this.#kept.push(message)
    this.#keptBytes += message.body.byteLength
    this.#flush()
    while (this.#kept.size > KEPT_RECORDS || this.#keptBytes > KEPT_BYTES) {
      this.#take()
      this.dropped += 1
    }
  }

  /** Resolves when no record is kept any more: all are on their way, or dropped. */
  idle(): Promise<void> {
    if (this.#kept.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /**
   * Uses this connection from now on, but sends nothing before {@link release}: a broker that blocks publishers answers
   * nothing on a connection that has published. A channel that cannot be opened only delays the records.
   * @param declare whether the exchange is made again when it was deleted
   */
  async attach(connection: AmqpConnection, declare: Declare): Promise<void> {
    this.#connection = connection
    this.#mayDeclare = declare === 'all'
    this.#isHeld = true
    this.#refusal = undefined
    await this.#open(connection)
  }

  /** Everything else that the connection needs is open: sends what was kept. */
  release(): void {
    this.#isHeld = false
    this.#flush()
    this.#tellDropped()
  }

  detach(): void {
    clearTimeout(this.#reopen)
    clearTimeout(this.#flushAgain)
    this.#connection = undefined
    this.#channel = undefined
  }

  async #open(connection: AmqpConnection): Promise<void> {
    try {
      const channel = await connection.openChannel((reason) => this.#onChannelClosed(connection, reason))
      if (connection !== this.#connection) return
      // somebody may have deleted it: a record on an exchange that is not there costs the channel
      if (this.#mayDeclare && /NOT_FOUND/.test(this.#refusal ?? ''))
        await channel.exchangeDeclare(EXCHANGES.log, 'topic', { durable: true })
      if (this.#refusal !== undefined) await this.#sendAhead(connection, channel)
      if (connection !== this.#connection) return
      this.#channel = channel
      this.#flush()
      if (this.#refusal !== undefined) this.#tellDropped()
      this.#refusal = undefined
    } catch (error) {
      this.#onChannelClosed(connection, error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** After a refusal one record goes ahead, and the others only when that one was taken. @throws when it was not */
  async #sendAhead(connection: AmqpConnection, channel: AMQPChannel): Promise<void> {
    const message = this.#take()
    if (message === undefined) return
    this.#send(connection, channel, message)
    try {
      // no more than a question: its answer comes after the refusal, if there is one
      await channel.basicQos(1)
    } catch (error) {
      this.dropped += 1
      throw error
    }
  }

  #tellDropped(): void {
    const dropped = this.dropped - this.#told
    this.#told = this.dropped
    if (dropped > 0) this.#onTrouble(`${dropped} log records were dropped while the broker could not take them`)
  }

  #onChannelClosed(connection: AmqpConnection, reason: Error): void {
    if (connection !== this.#connection) return
    this.#channel = undefined
    clearTimeout(this.#reopen)
    if (connection.closed) return
    if (/NOT_FOUND|ACCESS_REFUSED|PRECONDITION_FAILED/.test(reason.message)) {
      this.#refusal = reason.message
      const meanwhile = 'until they can, what is WARNING or worse goes to stderr, and the newest are kept'
      this.#refusalReport.tell(() => this.#onTrouble(`log records cannot be sent: ${reason.message}; ${meanwhile}`))
    }
    this.#reopen = setTimeout(() => void this.#open(connection), REOPEN_MS)
  }

  #flush(): void {
    const connection = this.#connection
    const channel = this.#channel
    if (connection === undefined || channel === undefined || connection.closed || this.#isHeld) return
    while (this.#kept.size > 0 && connection.unsentBytes < SOCKET_BYTES) {
      const message = this.#take()
      if (message === undefined) break
      this.#send(connection, channel, message)
    }
    if (this.#kept.size === 0) return
    // nothing tells when the socket has room again, and no other record may come
    clearTimeout(this.#flushAgain)
    this.#flushAgain = setTimeout(() => this.#flush(), FLUSH_AGAIN_MS)
  }

  #send(connection: AmqpConnection, channel: AMQPChannel, message: OutgoingMessage): void {
    for (const chunk of encodePublish(channel.id, connection.largestFrame, message)) void connection.send(chunk)
  }

  #take(): OutgoingMessage | undefined {
    const message = this.#kept.shift()
    if (message !== undefined) this.#keptBytes -= message.body.byteLength
    if (this.#kept.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
    return message
  }
}
