/**
 * `Endpoint`: publishing, logging and calling commands from programs that are not services (web handlers, cron jobs).
 *
 * It connects when it is first used, and again whenever the connection is lost; what was published meanwhile is kept, in order
 * and within bounds, and sent then. Every promise settles. `close` waits for the confirms.
 */
import type { CommandContract, InputOf, OptionalSchema, OutputOf } from '../contracts/contract.ts'
import { InvalidSettingError, StoppedError } from '../errors.ts'
import { asError } from '../log/describe-error.ts'
import type { Log } from '../log/logger.ts'
import { checkOptions, checkTimerMs, checkWhole, describe } from '../options.ts'
import { publishConfigurationOf, publishOf, sendCommandOf } from '../service/bus.ts'
import type { Publish, PublishConfiguration, PublishOptions, SendCommand } from '../service/contexts.ts'
import { Messenger } from '../service/messenger.ts'
import {
  BUS_SETTING_NAMES,
  BUS_START_NAMES,
  resolveSettings,
  type ServiceSettings,
  type Settings,
  type StartOptions,
} from '../service/settings.ts'
import { checkServiceName } from '../topology/names.ts'
import { newId } from '../wire/ids.ts'
import { Link } from './link.ts'
import { Replies } from './replies.ts'

/** How an endpoint connects and publishes. Settings are as for services, with the same defaults. */
export interface EndpointOptions
  extends
    Pick<ServiceSettings, (typeof BUS_SETTING_NAMES)[number]>,
    Pick<StartOptions, (typeof BUS_START_NAMES)[number]> {
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
  /** Stops waiting when it aborts; the call rejects with its reason. @default none */
  readonly signal?: AbortSignal
}

/**
 * Sends a command and waits for its result, on a queue of the endpoint's own.
 *
 * @returns the payload of the result
 * @throws CommandError with the payload of an error result; CallTimeoutError; UnroutableError when no service takes such
 * commands; ContractError, PayloadEncodeError, InvalidSettingError, PublishError, ConnectionError, StoppedError as publishing does;
 * ContractError, PayloadDecodeError or InvalidMessageError for a result that cannot be read; TopologyError when the broker refuses the
 * queue for results
 */
export interface Call {
  /** By name: neither payload nor result are checked. */
  (command: string, payload: unknown, options?: CallOptions): Promise<unknown>
  /** By contract: the payload, the result and an error result have to fit its schemas. */
  <P extends OptionalSchema, R extends OptionalSchema, E extends OptionalSchema>(
    command: CommandContract<P, R, E>,
    payload: InputOf<P>,
    options?: CallOptions,
  ): Promise<OutputOf<R>>
}

const CALL_TIMEOUT_MS = 30_000

/** The settings of an endpoint, checked. @throws InvalidSettingError @internal */
export function resolveEndpoint(options: EndpointOptions): { name: string; maxRetries: number; settings: Settings } {
  checkOptions('endpoint', options, ['name', 'maxRetries', ...BUS_START_NAMES, ...BUS_SETTING_NAMES])
  const { name, maxRetries = Infinity, ...settings } = options
  checkServiceName(name)
  if (maxRetries !== Infinity) checkWhole('maxRetries', maxRetries, 0)
  return { name, maxRetries, settings: resolveSettings(settings) }
}

/** Publishes, logs and calls commands from a program that is not a service. Close it, or the connection keeps the program alive. */
export class Endpoint implements AsyncDisposable {
  /** In whose name messages are sent and logs are written. */
  readonly name: string
  /** Publishes an event; resolves once the broker has confirmed it. Rejects with ConnectionError after `maxRetries`. */
  readonly publish: Publish
  /** Publishes a configuration; resolves once the broker has confirmed it. */
  readonly publishConfiguration: PublishConfiguration
  /** Sends a command; resolves once the broker has confirmed it. Its result goes to the service of this name, or to `replyTo`. */
  readonly sendCommand: SendCommand
  /** Sends a command and waits for its result. */
  readonly call: Call
  /** Writes log records to the bus. */
  readonly log: Log
  readonly #link: Link
  readonly #messenger: Messenger
  readonly #replies = new Replies()
  readonly #replyTo: string

  /** Connects only when it is used. @throws InvalidSettingError */
  constructor(options: EndpointOptions) {
    const { name, maxRetries, settings } = resolveEndpoint(options)
    this.name = name
    this.#replyTo = `${name}.Reply-${newId()}`
    this.#link = new Link({
      name,
      settings,
      maxRetries,
      replyTo: this.#replyTo,
      onReply: (message) => this.#replies.take(message),
      onGivenUp: (because) => this.#replies.rejectAll(because),
    })
    this.#messenger = new Messenger(name, settings, this.#link)
    this.publish = publishOf(this.#messenger)
    this.publishConfiguration = publishConfigurationOf(this.#messenger)
    this.sendCommand = sendCommandOf(this.#messenger)
    this.call = (command: CommandContract | string, payload: unknown, callOptions?: CallOptions) =>
      this.#call(command, payload, callOptions)
    this.log = this.#link.logger.bound('')
    const { signal } = settings
    if (signal?.aborted === true) void this.close()
    signal?.addEventListener('abort', () => void this.close(), { once: true })
  }

  /** Messages that were published and are not confirmed yet. */
  get pendingPublishes(): number {
    return this.#link.pending
  }

  /**
   * Waits until everything that was published is confirmed, `drainTimeoutMs` at most, and disconnects. Calls that wait for
   * results, and what is not confirmed then, reject with StoppedError. May be called again at any time.
   * @returns resolves when it is closed; never rejects
   */
  async close(): Promise<void> {
    await this.#link.close()
    this.#replies.rejectAll(new StoppedError(`endpoint '${this.name}' was closed before the result came`))
  }

  /** The same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #call(command: CommandContract | string, payload: unknown, options: CallOptions = {}): Promise<unknown> {
    const { timeoutMs = CALL_TIMEOUT_MS, signal, ...publishOptions } = options
    checkTimerMs('timeoutMs', timeoutMs)
    if (signal !== undefined && !(signal instanceof AbortSignal))
      throw new InvalidSettingError('signal', `must be an AbortSignal, not ${describe(signal)}`)
    const correlationId = newId()
    const reply = this.#replies.wait(correlationId, command, timeoutMs, signal)
    const send = async (): Promise<void> => {
      await this.#link.expectReplies()
      // one that was given up meanwhile is not sent
      if (!this.#replies.has(correlationId)) return
      await this.#messenger.command(command, payload, { ...publishOptions, replyTo: this.#replyTo, correlationId })
      this.#replies.sent(correlationId)
    }
    send().catch((error: unknown) => this.#replies.fail(correlationId, asError(error)))
    return reply
  }
}
