/**
 * From a delivery to its handler and its settlement: reads the envelope and the payload, runs the handler within the
 * concurrency limit, and applies the failure policy (PROTOCOL sections 4 to 6).
 */
import type { Schema } from '../contracts/contract.ts'
import { validate } from '../contracts/validate.ts'
import {
  CommandError,
  ContractError,
  InvalidMessageError,
  NoHandlerError,
  PayloadDecodeError,
  UnroutableError,
} from '../errors.ts'
import { describeError } from '../log/describe-error.ts'
import type { Logger } from '../log/logger.ts'
import type { Acknowledger } from '../transport/acknowledger.ts'
import { Fifo } from '../transport/fifo.ts'
import {
  type CommandEnvelope,
  conversationIdOf,
  type Envelope,
  type QueueKind,
  readEnvelope,
} from '../wire/envelope.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { decodePayload } from '../wire/payload.ts'
import { SETTLE_LATER } from './contexts.ts'
import { Delivery } from './delivery.ts'
import type { Handler } from './handlers.ts'
import type { HandlerContext } from './handler-context.ts'
import type { Messenger } from './messenger.ts'
import type { Registry } from './registry.ts'

export interface DispatcherOptions {
  readonly registry: Registry
  readonly messenger: Messenger
  readonly logger: Logger
  readonly concurrency: number
  /** Makes what a handler is given. */
  readonly contextOf: (delivery: Delivery, envelope: Envelope, payload: unknown) => HandlerContext
  /** A configuration handler answered true. */
  readonly onConfigured: () => void
}

export class Dispatcher {
  readonly #options: DispatcherOptions
  /** Everything that the broker delivered and that is not settled, in order of arrival. */
  readonly #open = new Set<Delivery>()
  readonly #queue = new Fifo<Delivery>()
  #running = 0
  #idle: (() => void)[] = []

  constructor(options: DispatcherOptions) {
    this.#options = options
  }

  /** Deliveries that are not settled. */
  get open(): ReadonlySet<Delivery> {
    return this.#open
  }

  /** Handlers that have not ended, those of lost deliveries included. */
  get running(): number {
    return this.#running
  }

  accept(queue: QueueKind, message: IncomingMessage, acknowledger: Acknowledger): void {
    const delivery = new Delivery(queue, message, acknowledger, (closed) => this.#onClosed(closed))
    this.#open.add(delivery)
    if (this.#running < this.#options.concurrency) void this.#work(delivery)
    else this.#queue.push(delivery)
  }

  /** Resolves when every delivery is settled, and every handler has ended, also of those that it settled itself before. */
  idle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /** The broker has, or will have, all open deliveries back. */
  loseAll(because?: Error): void {
    this.#queue.extract(() => true)
    for (const delivery of this.#open) delivery.lose(because)
  }

  /** The manual deliveries that came before this one, oldest first; none when this one is settled. */
  manualBefore(delivery: Delivery): readonly Delivery[] {
    const earlier: Delivery[] = []
    // nothing comes before one that is settled: it has no place among the open ones any more
    if (!delivery.isOpen) return earlier
    for (const candidate of this.#open) {
      if (candidate === delivery) break
      if (candidate.isManual) earlier.push(candidate)
    }
    return earlier
  }

  /**
   * Acknowledges a delivery by hand.
   * @throws what a publish on its behalf was rejected with; the failure policy was applied then
   */
  async ackOrFail(delivery: Delivery): Promise<void> {
    try {
      await delivery.ack()
    } catch (error) {
      this.#fail(delivery, error)
      throw error
    }
  }

  get #isIdle(): boolean {
    return this.#open.size === 0 && this.#running === 0
  }

  #onClosed(delivery: Delivery): void {
    this.#open.delete(delivery)
    this.#reportIdle()
  }

  #reportIdle(): void {
    if (!this.#isIdle) return
    const waiters = this.#idle
    this.#idle = []
    for (const resolve of waiters) resolve()
  }

  /** Handles one delivery after the other, until none waits. A handler whose delivery was lost keeps its place until it ends. */
  async #work(first: Delivery): Promise<void> {
    this.#running += 1
    for (let next: Delivery | undefined = first; next !== undefined; next = this.#queue.shift()) {
      if (next.isOpen) await this.#handle(next)
    }
    this.#running -= 1
    this.#reportIdle()
  }

  /** Ends when the handler has: the slot is free then, however long the confirms take. Never throws. */
  async #handle(delivery: Delivery): Promise<void> {
    let handler: Handler
    let context: HandlerContext
    try {
      const { message } = delivery
      const envelope = readEnvelope(delivery.queue, message)
      const body = decodePayload(message.body, message.properties.contentType)
      handler = this.#handlerFor(envelope)
      const schema = schemaFor(handler, envelope)
      const payload =
        schema === undefined
          ? body
          : await validate(schema, body, `payload of ${envelope.kind} '${envelope.routingKey}'`)
      context = this.#options.contextOf(delivery, envelope, payload)
    } catch (error) {
      // a schema may have failed for a reason that passes
      if (isWrongMessage(error)) this.#refuse(delivery, error)
      else this.#fail(delivery, error)
      return
    }
    try {
      const answer = await handler.run(context as never)
      if (answer === SETTLE_LATER || delivery.isManual) delivery.isManual = true
      else void this.#finish(delivery, context, answer)
    } catch (error) {
      // what a subclass of Service leaves to its parent has no handler either
      if (error instanceof NoHandlerError) this.#refuse(delivery, error)
      else void this.#onThrown(delivery, context, error)
    }
  }

  #handlerFor(envelope: Envelope): Handler {
    const handler = this.#options.registry.find(envelope.kind, envelope.routingKey)
    if (handler === undefined) throw new NoHandlerError(envelope.kind, envelope.routingKey)
    return handler
  }

  /** The message itself is wrong: redelivery cannot help. */
  #refuse(delivery: Delivery, error: unknown): void {
    if (!delivery.isOpen) return
    const level = error instanceof NoHandlerError ? 'ERROR' : 'EMERGENCY'
    const { summary } = describeError(error)
    // of a body nobody knows which message it was
    const subject = error instanceof PayloadDecodeError ? `message '${delivery.message.routingKey}': ` : ''
    this.#log(level, delivery, `${subject}${summary} (dead-lettered)`)
    delivery.nack(false)
  }

  async #finish(delivery: Delivery, context: HandlerContext, answer: unknown): Promise<void> {
    try {
      if (context.command !== undefined && !context.replied) {
        await this.#reply(context, context.command, 'success', answer === undefined ? null : answer)
      }
      await delivery.ack()
      // a configuration of a session that was lost says nothing to the next one
      if (delivery.queue === 'configuration' && answer === true && !delivery.isLost) this.#options.onConfigured()
    } catch (error) {
      this.#fail(delivery, error)
    }
  }

  async #onThrown(delivery: Delivery, context: HandlerContext, error: unknown): Promise<void> {
    if (!(error instanceof CommandError) || context.command === undefined || context.replied) {
      this.#fail(delivery, error)
      return
    }
    try {
      const payload: unknown = typeof error.payload === 'string' ? { reason: error.payload } : error.payload
      await this.#reply(context, context.command, 'error', payload)
      await delivery.ack()
    } catch (failure) {
      this.#fail(delivery, failure)
    }
  }

  /** A caller that is gone gets no answer: that is its affair, and the returned-message hook has been told. */
  async #reply(
    context: HandlerContext,
    command: CommandEnvelope,
    status: 'success' | 'error',
    payload: unknown,
  ): Promise<void> {
    try {
      await context.reply(command, status, payload)
    } catch (error) {
      if (!(error instanceof UnroutableError)) throw error
    }
  }

  /** An unexpected error: once more, on any worker; the second time to the dead letters. */
  #fail(delivery: Delivery, error: unknown): void {
    // the broker delivers it again: that it went wrong this time means nothing
    if (delivery.isLost) return
    const key = delivery.message.routingKey
    const { summary, full } = describeError(error)
    this.#log('ALERT', delivery, `unexpected error while handling ${key}: ${summary}`, full)
    // settled by hand before it failed
    if (!delivery.isOpen) return
    if (delivery.message.redelivered) this.#log('EMERGENCY', delivery, `Giving up on ${key}`, full)
    delivery.nack(!delivery.message.redelivered)
  }

  #log(level: 'ALERT' | 'EMERGENCY' | 'ERROR', delivery: Delivery, short: string, full = ''): void {
    this.#options.logger.write(level, short, { full, conversationId: conversationIdOf(delivery.message) ?? '' })
  }
}

function isWrongMessage(error: unknown): boolean {
  return [InvalidMessageError, PayloadDecodeError, ContractError, NoHandlerError].some((kind) => error instanceof kind)
}

function schemaFor({ schemas }: Handler, envelope: Envelope): Schema | undefined {
  if (envelope.kind !== 'result') return schemas.payload
  return envelope.status === 'success' ? schemas.result : schemas.error
}
