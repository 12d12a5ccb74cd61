/** What a handler is given, made for one delivery: everything in the conversation of the message, tied to its settlement. */
import { type Schema, lastWord } from '../contracts/contract.ts'
import { ContractError, InvalidSettingError, PayloadEncodeError } from '../errors.ts'
import type { Log, Logger } from '../log/logger.ts'
import type { Clock } from '../time/clock.ts'
import type { CommandEnvelope, Envelope, Metadata, ResultStatus } from '../wire/envelope.ts'
import { publishConfigurationOf, publishOf, sendCommandOf } from './bus.ts'
import { newId } from '../wire/ids.ts'
import type { AckOptions, Bus, NackOptions } from './contexts.ts'
import type { Delivery } from './delivery.ts'
import type { Cause, Messenger } from './messenger.ts'
import type { Timers } from './timers.ts'

/** What all contexts of a worker share. */
export interface ContextParts {
  readonly service: string
  readonly messenger: Messenger
  readonly logger: Logger
  readonly timers: Timers
  readonly clock: Clock
  readonly manualBefore: (delivery: Delivery) => readonly Delivery[]
  /** Acknowledges; where what was published for the message failed, applies the failure policy and rejects. */
  readonly ackOrFail: (delivery: Delivery) => Promise<void>
  /** Applies the failure policy to a message whose failure was told with that of others. */
  readonly fail: (delivery: Delivery, error: unknown) => void
  readonly resultSchemas: (envelope: CommandEnvelope) => {
    readonly result?: Schema | undefined
    readonly error?: Schema | undefined
  }
  /** Calls back when the worker stops, before it waits for its deliveries. */
  readonly atStop: (callback: () => void) => void
  readonly isStopping: () => boolean
  readonly prefetch: number
}

/**
 * Implements the public contexts of all four kinds. Members that users destructure are properties, so that they work
 * without `this`; what not every handler needs is made when it is first asked for.
 */
export class HandlerContext {
  readonly payload: unknown
  readonly routingKey: string
  readonly conversationId: string
  readonly metadata: Metadata
  readonly service: string
  readonly correlationId: string | undefined
  readonly replyTo: string | undefined
  readonly status: ResultStatus | undefined
  /** Set for commands: what an answer goes to. */
  readonly command: CommandEnvelope | undefined
  /** Whether an answer to the command was sent. */
  replied = false
  readonly #parts: ContextParts
  readonly #delivery: Delivery
  readonly #cause: Cause
  #log: Log | undefined

  constructor(parts: ContextParts, delivery: Delivery, envelope: Envelope, payload: unknown) {
    this.#parts = parts
    this.#delivery = delivery
    // a configuration belongs to no conversation: what follows from it begins one
    const isInitial = envelope.kind === 'configuration' && envelope.conversationId === ''
    const conversationId = isInitial ? newId() : envelope.conversationId
    this.#cause = { delivery, conversationId, messageId: envelope.metadata.messageId }
    this.payload = payload
    this.routingKey = envelope.routingKey
    this.conversationId = envelope.conversationId
    this.metadata = envelope.metadata
    this.service = parts.service
    this.command = envelope.kind === 'command' ? envelope : undefined
    this.replyTo = this.command?.replyTo
    this.status = envelope.kind === 'result' ? envelope.status : undefined
    this.correlationId = envelope.kind === 'command' || envelope.kind === 'result' ? envelope.correlationId : undefined
  }

  get name(): string {
    return this.#delivery.queue === 'command' ? lastWord(this.routingKey) : this.routingKey
  }

  get messageId(): string | undefined {
    return this.metadata.messageId
  }

  get headers(): Readonly<Record<string, unknown>> {
    return this.metadata.headers
  }

  get signal(): AbortSignal {
    return this.#delivery.signal
  }

  get log(): Log {
    this.#log ??= this.#parts.logger.bound(this.conversationId)
    return this.#log
  }

  get callLater(): Bus['callLater'] {
    return this.#parts.timers.callLater
  }

  get every(): Bus['every'] {
    return this.#parts.timers.every
  }

  get publish(): Bus['publish'] {
    return publishOf(this.#parts.messenger, this.#cause)
  }

  get publishConfiguration(): Bus['publishConfiguration'] {
    return publishConfigurationOf(this.#parts.messenger, this.#cause)
  }

  get sendCommand(): Bus['sendCommand'] {
    return sendCommandOf(this.#parts.messenger, this.#cause)
  }

  get success(): (payload: unknown) => Promise<void> {
    return (payload) => this.#replyByHand('success', payload)
  }

  get error(): (payload: unknown) => Promise<void> {
    return (payload) => this.#replyByHand('error', payload)
  }

  get ack(): (options?: AckOptions) => Promise<void> {
    return ({ multiple = false } = {}) => {
      const earlier = multiple ? this.#parts.manualBefore(this.#delivery) : []
      return handled(
        Promise.all([...earlier, this.#delivery].map((delivery) => this.#parts.ackOrFail(delivery))).then(() => {}),
      )
    }
  }

  get nack(): (options?: NackOptions) => Promise<void> {
    return async ({ requeue = false, multiple = false } = {}) => {
      const earlier = multiple ? this.#parts.manualBefore(this.#delivery) : []
      for (const delivery of [...earlier, this.#delivery]) delivery.nack(requeue)
    }
  }

  /** Answers the command. */
  async reply(command: CommandEnvelope, status: ResultStatus, payload: unknown): Promise<void> {
    if (this.replied)
      throw new InvalidSettingError(status, `command '${command.routingKey}' has its result already: it gets only one`)
    this.replied = true
    const { result, error } = this.#parts.resultSchemas(command)
    const schema = status === 'success' ? result : error
    try {
      await this.#parts.messenger.result(command, status, payload, schema, this.#cause)
    } catch (problem) {
      // one that cannot be sent is none
      if (problem instanceof ContractError || problem instanceof PayloadEncodeError) this.replied = false
      throw problem
    }
  }

  #replyByHand(status: ResultStatus, payload: unknown): Promise<void> {
    if (this.command === undefined) {
      return Promise.reject(
        new InvalidSettingError(status, `'${this.routingKey}' is no command: there is nobody to answer`),
      )
    }
    return handled(this.reply(this.command, status, payload))
  }

  /** Takes the message out of its handler's charge: it is acknowledged by hand, whatever the handler returns. */
  takeCharge(): void {
    this.#delivery.isManual = true
  }

  /** Whether nothing becomes of the message before time has passed, or more have come. */
  set isWaiting(isWaiting: boolean) {
    this.#delivery.isWaiting = isWaiting
  }

  /** Whether the message is neither settled nor lost. */
  get isOpen(): boolean {
    return this.#delivery.isOpen
  }

  /** Applies the failure policy, after the failure of several messages together was told. */
  fail(error: unknown): void {
    this.#parts.fail(this.#delivery, error)
  }

  /** What the batch processor needs to know of the worker. */
  get worker(): Pick<ContextParts, 'atStop' | 'isStopping' | 'prefetch' | 'clock'> {
    return this.#parts
  }
}

/** The outcome is accounted for elsewhere: a user who does not await it causes no unhandled rejection. */
function handled(promise: Promise<void>): Promise<void> {
  promise.catch(() => {})
  return promise
}
