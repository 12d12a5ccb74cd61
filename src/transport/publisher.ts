/**
 * Publishing with confirms: every promise settles, and nothing that the broker did not confirm is forgotten.
 *
 * Messages go out in the order of the calls, within a window of unconfirmed ones. What a nack, a lost channel or a lost
 * connection leaves unconfirmed is sent again, whole and with the same message id; after a loss, before anything newer.
 * Messages that belong to an incoming delivery are dropped with it, since its redelivery makes them again. A message that
 * the broker closes the channel for is found by sending the unconfirmed ones again one by one: it alone fails.
 */
import type { AMQPChannel } from '@cloudamqp/amqp-client'
import { BlockedTimeoutError, ConnectionError, StoppedError } from '../errors.ts'
import type { Clock } from '../time/clock.ts'
import type { OutgoingMessage } from '../wire/message.ts'
import { type AmqpConnection, plain, within } from './amqp-connection.ts'
import { ConfirmClock } from './confirm-clock.ts'
import { Fifo } from './fifo.ts'
import { Occasional } from './occasional.ts'
import { PublishBuffer } from './publish-buffer.ts'
import { encodePublish } from './publish-frames.ts'
import { lostWith, OutcomeCounts, type PublishOwner, refused, unroutable } from './publish-outcomes.ts'
import { Refusals } from './refusals.ts'
import { type Sent, Unconfirmed } from './unconfirmed.ts'

export interface PublisherSettings {
  /** Unconfirmed messages on their way at most. Bytes: one larger message may go alone. */
  readonly window: { readonly messages: number; readonly bytes: number }
  /** Messages that wait for the window or the broker at most. */
  readonly buffer: { readonly messages: number; readonly bytes: number }
  /** How long after a nack a message is sent again; undefined for never: its promise rejects. */
  readonly retryDelayMs: number | undefined
  /** How long a confirm may take, not counting the time in which the broker blocks publishers. */
  readonly confirmTimeoutMs: number
  readonly blockedTimeoutMs: number
  /** Of `retryDelayMs`; all else goes by the system's time. */
  readonly clock: Clock
}

export interface PublisherEvents {
  /** A mandatory message came back, before its promise rejects. */
  onReturned(message: OutgoingMessage): void
  /** Something that an operator should know of. */
  onTrouble(level: 'ERROR' | 'WARNING' | 'NOTICE', text: string): void
}

interface Publish extends Sent {
  readonly owner: PublishOwner | undefined
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

const EMPTY = new Uint8Array(0)
/** How often confirms are checked for being overdue. */
const CHECK_MS = 250
/** A channel that only refuses is replaced no sooner than this. */
const LEAST_REPLACE_MS = 1_000

export class Publisher {
  /** Of all publishes so far. */
  readonly outcomes = new OutcomeCounts()
  /** Why the broker blocks publishers, in its words; undefined when it does not. */
  blocked: string | undefined
  readonly #settings: PublisherSettings
  readonly #events: PublisherEvents
  #connection: AmqpConnection | undefined
  #channel: AMQPChannel | undefined
  /** Not sent yet, or to be sent again; the oldest first. */
  readonly #waiting = new Fifo<Publish>()
  readonly #buffer: PublishBuffer
  readonly #unconfirmed = new Unconfirmed<Publish>()
  /** Pending ones that the broker refused, and that wait to be sent again. */
  readonly refusals: Refusals<Publish>
  /** Since when the channel has confirmed nothing. */
  #nothingConfirmedSince = 0
  /** After a channel error: how many of the messages that were unconfirmed then still have to be sent one by one. */
  #suspects = 0
  #blockedSince: number | undefined
  readonly #clock: ConfirmClock
  #check: NodeJS.Timeout | undefined
  #closed: Error | undefined
  #idle: (() => void)[] = []
  readonly #overflowReport = new Occasional()

  constructor(settings: PublisherSettings, events: PublisherEvents) {
    this.#settings = settings
    this.#buffer = new PublishBuffer(settings.buffer)
    this.refusals = new Refusals(settings.clock)
    this.#clock = new ConfirmClock(settings.confirmTimeoutMs)
    this.#events = events
  }

  /** Messages that were accepted and are not settled yet. */
  get pending(): number {
    return this.#waiting.size + this.#unconfirmed.size + this.refusals.size
  }

  /**
   * Sends a message, now or as soon as the broker can take it.
   * @returns resolves when the broker has confirmed it; rejects with a PublishError, DeliveryLostError (only with an
   * owner) or StoppedError. Leaving the promise alone makes no unhandled rejection.
   */
  publish(message: OutgoingMessage, owner?: PublishOwner): Promise<void> {
    const promise = new Promise<void>((resolve, reject) => {
      if (this.#closed !== undefined) return reject(this.#closed)
      if (owner?.isLost === true) return reject(lostWith(message, owner))
      if (owner === undefined && !this.#buffer.hasRoomFor(message)) return reject(this.#overflow(message))
      this.#enqueue({ message, owner, resolve, reject, sentAt: 0, returned: false })
    })
    this.outcomes.count(promise)
    return promise
  }

  /**
   * Uses this connection from now on, and sends what is waiting.
   * @throws ConnectionError when no channel can be opened on it
   */
  async attach(connection: AmqpConnection): Promise<void> {
    this.#connection = connection
    this.#blockedSince = undefined
    // a connection that is being left may still be told: that says nothing about this one
    connection.onblocked = (reason) => {
      if (connection === this.#connection) this.#onBlocked(reason)
    }
    connection.onunblocked = () => {
      if (connection === this.#connection) this.#onUnblocked()
    }
    clearInterval(this.#check)
    this.#check = setInterval(() => this.#checkClock(), CHECK_MS)
    await this.#openChannel(connection)
  }

  /** The connection is gone: what belongs to lost deliveries is dropped, the rest waits for the next connection. */
  detach(): void {
    this.#connection = undefined
    clearInterval(this.#check)
    if (this.#blockedSince !== undefined) this.#onUnblocked()
    this.#abandonChannel()
    this.#dropLost()
  }

  /** Resolves when everything that was accepted is settled. */
  idle(): Promise<void> {
    if (this.pending === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /**
   * Rejects everything that is not confirmed, and everything that comes.
   * @param because what the user knows of it
   * @returns what was not confirmed
   */
  close(because = 'the service has stopped'): readonly OutgoingMessage[] {
    this.#closed ??= new StoppedError(`${because}: it publishes nothing any more`)
    return this.rejectAll(
      ({ routingKey, exchange }) =>
        new StoppedError(`stopped before the broker confirmed message '${routingKey}' on exchange '${exchange}'`),
    )
  }

  /** Gives up the connection, and everything that is not confirmed. @returns what was not confirmed */
  rejectAll(because: (message: OutgoingMessage) => Error): readonly OutgoingMessage[] {
    this.detach()
    const left = this.#extractKept(() => true)
    for (const { message, reject } of left) reject(because(message))
    this.#reportIdle()
    return left.map(({ message }) => message)
  }

  async #openChannel(connection: AmqpConnection): Promise<void> {
    const channel = await connection.openChannel((reason) => this.#onChannelClosed(channel, reason))
    channel.publishConfirmed = (sequence, multiple, nack) => {
      if (channel === this.#channel) this.#onConfirm(sequence, multiple, nack)
    }
    channel.onReturn = ({ exchange, routingKey, properties, body }) => {
      if (channel !== this.#channel) return
      const returned = this.#unconfirmed.markReturned({ exchange, routingKey, properties, body: body ?? EMPTY })
      if (returned !== undefined) this.#events.onReturned(returned.message)
    }
    await within(channel.confirmSelect(), this.#settings.confirmTimeoutMs, 'turning confirms on')
    if (connection !== this.#connection) return
    this.#channel = channel
    this.#nothingConfirmedSince = performance.now()
    this.#pump()
  }

  #enqueue(publish: Publish): void {
    this.#waiting.push(publish)
    this.#buffer.add(publish)
    this.#pump()
  }

  /** Removes and returns those that wait, or were refused for now. */
  #extractKept(take: (publish: Publish) => boolean): readonly Publish[] {
    const refused = this.refusals.extract(take)
    for (const publish of refused) this.#buffer.remove(publish)
    return [...this.#extractWaiting(take), ...refused]
  }

  #extractWaiting(take: (publish: Publish) => boolean): readonly Publish[] {
    const taken = this.#waiting.extract(take)
    for (const publish of taken) this.#buffer.remove(publish)
    return taken
  }

  #pump(): void {
    const connection = this.#connection
    const channel = this.#channel
    if (connection === undefined || channel === undefined || this.#blockedSince !== undefined) return
    while (this.#hasRoom()) {
      const publish = this.#waiting.shift()
      if (publish === undefined) break
      this.#buffer.remove(publish)
      this.#send(connection, channel, publish)
    }
    // what cannot be sent is settled at once
    this.#reportIdle()
  }

  #hasRoom(): boolean {
    const { size, bytes } = this.#unconfirmed
    if (size === 0) return true
    return this.#suspects === 0 && size < this.#settings.window.messages && bytes < this.#settings.window.bytes
  }

  #send(connection: AmqpConnection, channel: AMQPChannel, publish: Publish): void {
    const { message } = publish
    let chunks: Uint8Array[]
    try {
      chunks = encodePublish(channel.id, connection.largestFrame, message)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      const refusal = refused(message, `cannot be sent: ${why}`, error)
      publish.reject(refusal)
      this.#events.onTrouble('ERROR', refusal.message)
      return
    }
    this.#unconfirmed.add(publish)
    for (const chunk of chunks) void connection.send(chunk)
  }

  #onConfirm(sequence: number, multiple: boolean, nack: boolean): void {
    if (!nack) this.#nothingConfirmedSince = performance.now()
    for (const publish of this.#unconfirmed.confirm(sequence, multiple)) {
      if (this.#suspects > 0) this.#suspects -= 1
      if (nack) this.#onNack(publish)
      else if (publish.returned) publish.reject(unroutable(publish.message))
      else publish.resolve()
    }
    this.#pump()
    this.#reportIdle()
  }

  #onNack(publish: Publish): void {
    const { retryDelayMs } = this.#settings
    const { routingKey } = publish.message
    if (retryDelayMs === undefined) {
      publish.reject(refused(publish.message, 'was refused by the broker (nack: a queue is full or in trouble)'))
      return
    }
    this.refusals.report.tell(() =>
      this.#events.onTrouble(
        'ERROR',
        `the broker refused message '${routingKey}' (nack: a queue is full or in trouble); such messages are sent again after ${retryDelayMs} ms`,
      ),
    )
    this.refusals.keep(publish, retryDelayMs, () => {
      // it waits already when the channel is replaced: who waits for all to be settled waits for this one, too
      this.#waiting.push(publish)
      this.#replaceRefusing(retryDelayMs)
      this.#pump()
    })
    this.#buffer.add(publish)
  }

  /**
   * A channel that was opened, or was in use, while a quorum queue had no leader may refuse everything for ever, where a new one
   * finds the leader.
   */
  #replaceRefusing(retryDelayMs: number): void {
    const [connection, channel] = [this.#connection, this.#channel]
    if (connection === undefined || channel === undefined) return
    if (performance.now() - this.#nothingConfirmedSince < Math.max(retryDelayMs, LEAST_REPLACE_MS)) return
    void channel.close('only refusals').catch(() => {})
    this.#reopen(connection)
  }

  /** The broker closed the channel: one of the unconfirmed messages is to blame. */
  #onChannelClosed(channel: AMQPChannel, reason: Error): void {
    if (channel !== this.#channel) return
    const connection = this.#connection
    // A lost connection closes its channels too: detach() takes care of that. So does one that an operator or a stopping
    // broker closes (320), before it counts as closed: no message is to blame for that.
    if (connection === undefined || connection.closed || /CONNECTION_FORCED/.test(reason.message)) return
    if (/NOT_FOUND - no exchange/.test(reason.message)) {
      // Somebody deleted an exchange of ours, and its bindings with it: a new session declares and binds all again.
      connection.fail(reason)
      return
    }
    if (this.#unconfirmed.size === 1) {
      const [culprit] = this.#unconfirmed.takeAll()
      if (culprit !== undefined) this.#refuse(culprit, reason)
    } else this.#suspects = this.#unconfirmed.size
    this.#reopen(connection)
  }

  #refuse({ message, reject }: Publish, reason: Error): void {
    if (this.#suspects > 0) this.#suspects -= 1
    const error = refused(message, `was refused by the broker: ${reason.message}`, reason)
    reject(error)
    this.#events.onTrouble('ERROR', error.message)
  }

  /** Gives up the channel, and sends what it left unconfirmed again on a new one. */
  #reopen(connection: AmqpConnection): void {
    this.#abandonChannel()
    this.#openChannel(connection).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error)
      const problem = `${connection.broker.shown}: no channel to publish on could be opened: ${why}`
      connection.fail(new ConnectionError(problem, { cause: plain(error) }))
    })
    this.#reportIdle()
  }

  #abandonChannel(): void {
    this.#channel = undefined
    const unconfirmed = this.#unconfirmed.takeAll()
    for (const publish of unconfirmed) this.#buffer.add(publish)
    this.#waiting.prepend(unconfirmed)
  }

  #dropLost(): void {
    for (const { message, owner, reject } of this.#extractKept(isLost)) reject(lostWith(message, owner))
    this.#suspects = Math.min(this.#suspects, this.#waiting.size)
    this.#reportIdle()
  }

  #onBlocked(reason: string): void {
    this.#blockedSince = performance.now()
    this.blocked = reason
    this.#events.onTrouble('WARNING', `the broker blocks publishers (${reason}); messages wait until it can take them`)
  }

  #onUnblocked(): void {
    this.blocked = undefined
    this.#blockedSince = undefined
    this.#clock.restart()
    if (this.#connection !== undefined) this.#events.onTrouble('NOTICE', 'the broker takes messages again')
    this.#pump()
  }

  #checkClock(): void {
    const connection = this.#connection
    if (connection === undefined) return
    if (this.#blockedSince !== undefined) {
      const blockedMs = performance.now() - this.#blockedSince
      if (blockedMs >= this.#settings.blockedTimeoutMs) this.#giveUpBlocked(connection)
      return
    }
    const { oldest, size } = this.#unconfirmed
    const channel = this.#channel
    if (channel === undefined || oldest === undefined) return
    const overdue = this.#clock.overdue(oldest, connection.unsentBytes)
    if (overdue === undefined) return
    if (overdue.what === 'leaving') {
      const problem = `${connection.broker.shown} has not read what was sent for ${overdue.waitedMs} ms`
      connection.fail(new ConnectionError(problem))
      return
    }
    this.#events.onTrouble(
      'WARNING',
      `no confirm from the broker for ${overdue.waitedMs} ms: its channel is replaced, and ${size} messages are sent again`,
    )
    void channel.close('no confirms').catch(() => {})
    this.#reopen(connection)
  }

  #giveUpBlocked(connection: AmqpConnection): void {
    const problem = `the broker blocked publishers for ${this.#settings.blockedTimeoutMs} ms`
    this.#abandonChannel()
    for (const { message, reject } of this.#extractKept(({ owner }) => owner === undefined)) {
      reject(new BlockedTimeoutError(message.exchange, message.routingKey, `was not confirmed: ${problem}`))
    }
    connection.fail(new ConnectionError(problem))
  }

  #overflow(message: OutgoingMessage): Error {
    this.#overflowReport.tell(() => this.#events.onTrouble('ERROR', `publishes are rejected: ${this.#buffer.contents}`))
    return this.#buffer.overflow(message)
  }

  #reportIdle(): void {
    if (this.pending > 0 || this.#idle.length === 0) return
    const waiters = this.#idle
    this.#idle = []
    for (const resolve of waiters) resolve()
  }
}

function isLost({ owner }: Publish): boolean {
  return owner?.isLost === true
}
