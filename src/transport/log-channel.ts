/**
 * The channel for log records: never awaited, never throws, and never in the way of other messages.
 *
 * While the broker cannot take them, the newest records are kept in a bounded buffer; what does not fit is counted.
 */
import type { AMQPChannel } from '@cloudamqp/amqp-client'
import { EXCHANGES } from '../topology/names.ts'
import type { OutgoingMessage } from '../wire/message.ts'
import type { AmqpConnection } from './amqp-connection.ts'
import { Fifo } from './fifo.ts'
import { encodePublish } from './publish-frames.ts'

/** Records kept while the broker cannot take them. */
const KEPT_RECORDS = 1000
const KEPT_BYTES = 8 * 1024 * 1024
/** Bytes that may wait in the socket before records are held back, so that logs cannot fill the memory. */
const SOCKET_BYTES = 4 * 1024 * 1024
/** How long to wait after the broker closed the channel (exchange deleted, permission missing). */
const REOPEN_MS = 10_000

export class LogChannel {
  #connection: AmqpConnection | undefined
  #channel: AMQPChannel | undefined
  #isHeld = false
  #reopen: NodeJS.Timeout | undefined
  readonly #kept = new Fifo<OutgoingMessage>()
  #keptBytes = 0
  /** How many records were dropped. */
  dropped = 0
  #told = 0
  readonly #idle: (() => void)[] = []

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

  /** How many records were dropped since this was last asked. */
  takeDropped(): number {
    const untold = this.dropped - this.#told
    this.#told = this.dropped
    return untold
  }

  /**
   * Uses this connection from now on, but sends nothing before {@link release}: a broker that blocks publishers answers
   * nothing on a connection that has published. A channel that cannot be opened only delays the records.
   */
  async attach(connection: AmqpConnection): Promise<void> {
    this.#connection = connection
    this.#isHeld = true
    await this.#open(connection)
  }

  /** Everything else that the connection needs is open: sends what was kept. */
  release(): void {
    this.#isHeld = false
    this.#flush()
  }

  detach(): void {
    clearTimeout(this.#reopen)
    this.#connection = undefined
    this.#channel = undefined
  }

  async #open(connection: AmqpConnection): Promise<void> {
    try {
      const channel = await connection.openChannel(() => this.#onChannelClosed(connection))
      if (connection !== this.#connection) return
      // somebody may have deleted it: a record on an exchange that is not there costs the channel
      if (!this.#isHeld) await channel.exchangeDeclare(EXCHANGES.log, 'topic', { durable: true })
      if (connection !== this.#connection) return
      this.#channel = channel
      this.#flush()
    } catch {
      this.#onChannelClosed(connection)
    }
  }

  #onChannelClosed(connection: AmqpConnection): void {
    if (connection !== this.#connection) return
    this.#channel = undefined
    clearTimeout(this.#reopen)
    if (connection.closed) return
    this.#reopen = setTimeout(() => void this.#open(connection), REOPEN_MS)
  }

  #flush(): void {
    const connection = this.#connection
    const channel = this.#channel
    if (connection === undefined || channel === undefined || connection.closed || this.#isHeld) return
    while (this.#kept.size > 0 && connection.unsentBytes < SOCKET_BYTES) {
      const message = this.#take()
      if (message === undefined) break
      for (const chunk of encodePublish(channel.id, connection.largestFrame, message)) void connection.send(chunk)
    }
  }

  #take(): OutgoingMessage | undefined {
    const message = this.#kept.shift()
    if (message !== undefined) this.#keptBytes -= message.body.byteLength
    if (this.#kept.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
    return message
  }
}
