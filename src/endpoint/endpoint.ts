/**
 * `Endpoint`: publishing, logging and calling commands from programs that are not services (web handlers, cron jobs).
 *
 * It connects when it is first used, and again whenever the connection is lost; what was published meanwhile is kept, in order
 * and within bounds, and sent then. Every promise settles. `close` waits for the confirms.
 */
import type { CommandContract, InputOf, OptionalSchema, OutputOf } from '../contracts/contract.ts'
import { ConnectionError, InvalidSettingError, StoppedError } from '../errors.ts'
import { asError } from '../log/describe-error.ts'
import { type Log, Logger } from '../log/logger.ts'
import { checkOptions, describe } from '../options.ts'
import { publishConfigurationOf, publishOf, sendCommandOf } from '../service/bus.ts'
import type { Publish, PublishConfiguration, PublishOptions, SendCommand } from '../service/contexts.ts'
import { Messenger } from '../service/messenger.ts'
import { OutageReport } from '../service/outage.ts'
import {
  resolveSettings,
  type ServiceSettings,
  type Settings,
  START_NAMES,
  type StartOptions,
} from '../service/settings.ts'
import { checkServiceName, EXCHANGES } from '../topology/names.ts'
import { AmqpConnection } from '../transport/amqp-connection.ts'
import type { BrokerUrl } from '../transport/broker-url.ts'
import { ConsumeChannel } from '../transport/consume-channel.ts'
import { LogChannel } from '../transport/log-channel.ts'
import { Publisher } from '../transport/publisher.ts'
import { Backoff, pause } from '../transport/reconnect.ts'
import { newId } from '../wire/ids.ts'
import { Replies } from './replies.ts'

/** The settings of services that mean something here. */
const SHARED_NAMES = [
  'format',
  'heartbeatMs',
  'connectTimeoutMs',
  'blockedTimeoutMs',
  'publishRetryDelayMs',
  'confirmTimeoutMs',
  'drainTimeoutMs',
  'publishWindow',
  'publishBuffer',
  'maxPayloadBytes',
] as const satisfies readonly (keyof ServiceSettings)[]

/** How an endpoint connects and publishes. Settings are as for services, with the same defaults. */
export interface EndpointOptions
  extends
    Pick<ServiceSettings, (typeof SHARED_NAMES)[number]>,
    Pick<StartOptions, 'urls' | 'tls' | 'signal' | 'stderrLevel' | 'onLog'> {
  /** In whose name messages are sent (`app_id`) and logs are written. */
  readonly name: string
  /**
   * How often connecting is tried again before everything that waits is rejected: at once, then after 1 s, 2 s… up to 30 s.
   * What is published afterwards begins anew.
   * @default Infinity: for ever
   */
  readonly maxRetries?: number
}

/** How a command is called. */
export interface CallOptions extends PublishOptions {
  /** How long to wait for the result, in milliseconds. @default 30_000 */
  readonly timeoutMs?: number
  /** Stops waiting when it aborts; the call rejects with its reason. */
  readonly signal?: AbortSignal
}

/**
 * Sends a command and waits for its result, on a queue of the endpoint's own.
 *
 * @returns the payload of the result
 * @throws CommandError with the payload of an error result; CallTimeoutError; UnroutableError when no service takes such
 * commands; ContractError, PayloadEncodeError, InvalidSettingError, PublishError, ConnectionError, StoppedError as publishing does
 */
export interface Call {
  (command: string, payload: unknown, options?: CallOptions): Promise<unknown>
  <P extends OptionalSchema, R extends OptionalSchema, E extends OptionalSchema>(
    command: CommandContract<P, R, E>,
    payload: InputOf<P>,
    options?: CallOptions,
  ): Promise<OutputOf<R>>
}

const CALL_TIMEOUT_MS = 30_000
const CLOSE_MS = 2_000
const PREFETCH = 1_000

export class Endpoint implements AsyncDisposable {
  readonly name: string
  /** Publishes an event; resolves once the broker has confirmed it. */
  readonly publish: Publish
  /** Publishes a configuration; resolves once the broker has confirmed it. */
  readonly publishConfiguration: PublishConfiguration
  /** Sends a command; resolves once the broker has confirmed it. Its result goes to the service of this name, or to `replyTo`. */
  readonly sendCommand: SendCommand
  readonly call: Call
  /** Writes log records to the bus. */
  readonly log: Log
  readonly #settings: Settings
  readonly #maxRetries: number
  readonly #publisher: Publisher
  readonly #messenger: Messenger
  readonly #logChannel = new LogChannel()
  readonly #logger: Logger
  readonly #replies = new Replies()
  readonly #replyTo: string
  readonly #backoff = new Backoff()
  readonly #outage: OutageReport
  readonly #closing = new AbortController()
  #connection: AmqpConnection | undefined
  #channel: ConsumeChannel<'command'> | undefined
  /** Whether results are consumed as well; they are from the first call on. */
  #isCalling = false
  #consuming: Promise<void> | undefined
  #living: Promise<void> | undefined
  #closed: Promise<void> | undefined

  /** Connects only when it is used. @throws InvalidSettingError */
  constructor(options: EndpointOptions) {
    checkOptions('endpoint', options, ['name', 'maxRetries', ...START_NAMES, ...SHARED_NAMES])
    const { name, maxRetries = Infinity, ...settings } = options
    checkServiceName(name)
    if (maxRetries !== Infinity && !(Number.isSafeInteger(maxRetries) && maxRetries >= 0))
      throw new InvalidSettingError('maxRetries', `must be a whole number of 0 or more, not ${describe(maxRetries)}`)
    this.name = name
    this.#maxRetries = maxRetries
    this.#settings = resolveSettings(settings)
    this.#replyTo = `${name}.Reply-${newId()}`
    this.#publisher = new Publisher(
      {
        window: this.#settings.publishWindow,
        buffer: this.#settings.publishBuffer,
        retryDelayMs: this.#settings.publishRetryDelayMs,
        confirmTimeoutMs: this.#settings.confirmTimeoutMs,
        blockedTimeoutMs: this.#settings.blockedTimeoutMs,
      },
      // whoever published is told by the promise
      { onReturned: () => {}, onTrouble: (level, text) => this.#logger.write(level, text) },
    )
    this.#messenger = new Messenger(name, this.#settings, {
      publish: (message, owner) => {
        const sent = this.#publisher.publish(message, owner)
        this.#wake()
        return sent
      },
    })
    this.#logger = new Logger({
      service: name,
      sink: this.#logSink(),
      stderrLevel: this.#settings.stderrLevel,
      onRecord: this.#settings.onLog,
    })
    this.#outage = new OutageReport(this.#logger)
    this.publish = publishOf(this.#messenger)
    this.publishConfiguration = publishConfigurationOf(this.#messenger)
    this.sendCommand = sendCommandOf(this.#messenger)
    this.call = (command: CommandContract | string, payload: unknown, callOptions?: CallOptions) =>
      this.#call(command, payload, callOptions)
    this.log = this.#logger.bound('')
    const { signal } = this.#settings
    if (signal?.aborted === true) void this.close()
    signal?.addEventListener('abort', () => void this.close(), { once: true })
  }

  /** Messages that were published and are not confirmed yet. */
  get pendingPublishes(): number {
    return this.#publisher.pending
  }

  /**
   * Waits until everything that was published is confirmed, `drainTimeoutMs` at most, and disconnects. Calls that wait for
   * results, and what is not confirmed then, reject with StoppedError. May be called again at any time.
   * @returns resolves when it is closed; never rejects
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    const timeUp = new AbortController()
    if (this.#publisher.pending > 0)
      await Promise.race([this.#publisher.idle(), pause(this.#settings.drainTimeoutMs, timeUp.signal)])
    timeUp.abort()
    this.#closing.abort()
    this.#publisher.close()
    this.#replies.rejectAll(new StoppedError(`endpoint '${this.name}' was closed before the result came`))
    await this.#living
  }

  async #call(command: CommandContract | string, payload: unknown, options: CallOptions = {}): Promise<unknown> {
    const { timeoutMs = CALL_TIMEOUT_MS, signal, ...publishOptions } = options
    if (!(timeoutMs > 0 && timeoutMs <= 2_147_483_647))
      throw new InvalidSettingError(
        'timeoutMs',
        `must be milliseconds from 1 to 2147483647, not ${describe(timeoutMs)}`,
      )
    if (signal !== undefined && !(signal instanceof AbortSignal))
      throw new InvalidSettingError('signal', `must be an AbortSignal, not ${describe(signal)}`)
    this.#isCalling = true
    // a connection that was made before anybody called has no queue for results yet
    if (this.#channel !== undefined) await this.#consumeReplies(this.#channel).catch(unlessLost)
    const correlationId = newId()
    const unsent = new AbortController()
    const ended = AbortSignal.any([unsent.signal, ...(signal === undefined ? [] : [signal])])
    const reply = this.#replies.wait(correlationId, command, timeoutMs, ended)
    // a command that cannot be sent gets no result
    this.#messenger.command(command, payload, { ...publishOptions, replyTo: this.#replyTo, correlationId }).then(
      () => this.#replies.sent(correlationId),
      (error: unknown) => unsent.abort(error),
    )
    return reply
  }

  #logSink(): ConstructorParameters<typeof Logger>[0]['sink'] {
    const channel = this.#logChannel
    const wake = (): void => this.#wake()
    return {
      publish(message) {
        channel.publish(message)
        wake()
      },
      get isOpen() {
        return channel.isOpen
      },
    }
  }

  /** Something is to be sent. */
  #wake(): void {
    if (this.#living !== undefined || this.#closing.signal.aborted) return
    this.#living = this.#live().finally(() => {
      this.#living = undefined
    })
  }

  /** Connects, again and again, until it is closed or has tried often enough. */
  async #live(): Promise<void> {
    const { brokers } = this.#settings
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
        this.#outage.over(broker.shown)
        const lost = await Promise.race([connection.lost, aborted(this.#closing.signal)])
        reason = lost ?? new ConnectionError(`${broker.shown}: the connection was closed`)
      } catch (error) {
        reason = asError(error)
      }
      await this.#disconnect()
      if (this.#closing.signal.aborted) return
      failures += worked ? 0 : 1
      this.#outage.goesOn(reason)
      if (failures > this.#maxRetries) {
        this.#giveUp(reason)
        return
      }
      // the first time at once
      const wait = failures === 1 ? 0 : this.#backoff.next(worked ? performance.now() - start : undefined, reason)
      await pause(wait, this.#closing.signal)
    }
  }

  async #connect(broker: BrokerUrl): Promise<AmqpConnection> {
    const { connectTimeoutMs, heartbeatMs, tls } = this.#settings
    const settings = { name: `${this.name}@${process.pid} (publish)`, connectTimeoutMs, heartbeatMs, tls }
    const connection = await AmqpConnection.open(broker, settings, this.#closing.signal)
    this.#connection = connection
    const channel: ConsumeChannel<'command'> = await ConsumeChannel.open(connection, PREFETCH, connectTimeoutMs, {
      onDelivery: (_queue, message) => {
        channel.acknowledger.ack(message.deliveryTag)
        this.#replies.take(message)
      },
      onEnd: (reason) => connection.fail(reason),
    })
    await channel.declareExchanges()
    this.#channel = channel
    if (this.#isCalling) await this.#consumeReplies(channel)
    // a broker that blocks publishers does so at the first message: all channels are open by then
    await this.#logChannel.attach(connection)
    await this.#publisher.attach(connection)
    this.#logChannel.release()
    return connection
  }

  async #consumeReplies(channel: ConsumeChannel<'command'>): Promise<void> {
    this.#consuming ??= channel
      .declareQueue({ name: '', exchange: EXCHANGES.command, bindings: [this.#replyTo] })
      .then((queue) => channel.consume('command', queue))
    await this.#consuming
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
    const because = (what: string): Error =>
      new ConnectionError(
        `${what}: no broker could be reached after ${this.#maxRetries + 1} tries: ${reason.message}`,
        {
          cause: reason,
        },
      )
    this.#publisher.rejectAll(({ routingKey }) => because(`message '${routingKey}' was not sent`))
    this.#replies.rejectAll(because('no result'))
  }
}

/** Resolves, with nothing, when the signal aborts. */
function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}

/** What was lost with the connection is done again with the next. @throws any other error */
function unlessLost(error: unknown): void {
  if (!(error instanceof ConnectionError)) throw error
}
