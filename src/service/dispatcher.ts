/**
 * From a delivery to its handler: reads the envelope and the payload (docs/protocol.md, section 4), and has the handler run within the
 * concurrency limit.
 */
import type { Schema } from '../contracts/contract.ts'
import { validate } from '../contracts/validate.ts'
import { ContractError, InvalidMessageError, NoHandlerError, PayloadDecodeError } from '../errors.ts'
import type { Acknowledger } from '../transport/acknowledger.ts'
import { Fifo } from '../transport/fifo.ts'
import { type Envelope, type QueueKind, readEnvelope } from '../wire/envelope.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { decodePayload } from '../wire/payload.ts'
import { Delivery } from './delivery.ts'
import { type ExecutionParts, Executor } from './execution.ts'
import type { HandlerContext } from './handler-context.ts'
import type { Handler } from './handlers.ts'
import { LoopWatch } from './loop-watch.ts'
import type { Registry } from './registry.ts'

export interface DispatcherOptions extends Omit<ExecutionParts, 'watch'> {
  readonly registry: Registry
  readonly concurrency: number
  /** Makes what a handler is given. */
  readonly contextOf: (delivery: Delivery, envelope: Envelope, payload: unknown) => HandlerContext
}

export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #executor: Executor
  readonly #watch: LoopWatch
  /** Everything that the broker delivered and that is not settled, in order of arrival. */
  readonly #open = new Set<Delivery>()
  readonly #queue = new Fifo<Delivery>()
  #running = 0
  #runningOn: readonly Delivery[] = []
  #idle: (() => void)[] = []

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#watch = new LoopWatch((blockedMs, limitMs, culprit) =>
      options.strikes.blocked(culprit === undefined ? this.#inHand() : [culprit], blockedMs, limitMs),
    )
    this.#executor = new Executor({ ...options, watch: this.#watch })
  }

  /** Deliveries that are not settled. */
  get open(): ReadonlySet<Delivery> {
    return this.#open
  }

  /** Handlers that have not ended, those of lost deliveries and those whose time is up included. */
  get running(): number {
    return this.#running + this.#executor.overdue
  }

  accept(queue: QueueKind, message: IncomingMessage, acknowledger: Acknowledger): void {
    const delivery = new Delivery(queue, message, acknowledger, this.#onClosed)
    this.#open.add(delivery)
    if (this.#running < this.#options.concurrency) void this.#work(delivery)
    else {
      delivery.isWaiting = true
      this.#queue.push(delivery)
    }
  }

  /** Deliveries that are not open any more, and whose handlers have not ended. */
  get runningOn(): readonly Delivery[] {
    this.#runningOn = this.#runningOn.filter(({ isRunning }) => isRunning)
    return this.#runningOn
  }

  /** Resolves when every delivery is settled, and every handler has ended, also of those that it settled itself before. */
  idle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /** A connection works. @param silenceMs how long the broker waits for a sign of life */
  begin(silenceMs: number): void {
    this.#watch.start(silenceMs)
  }

  /** The broker closed the channel, because a message was not settled within its consumer timeout. */
  overdue(timeoutMs: number): void {
    const latest = performance.now() - timeoutMs * 0.9
    const held = this.#inHand(true).filter(({ begunAt = Infinity }) => begunAt <= latest)
    this.#options.strikes.overdue(held, timeoutMs)
  }

  /** The broker has, or will have, all open deliveries back. */
  loseAll(because?: Error): void {
    this.#watch.check()
    this.#watch.stop()
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
      // what its handler publishes in the same breath belongs to it, too
      await Promise.resolve()
      await delivery.ack()
    } catch (error) {
      this.#options.policy.fail(delivery, error)
      throw error
    }
  }

  /** Deliveries whose handlers run; if there are none, or `all` are asked for, those as well that are settled by hand. */
  #inHand(all = false): readonly Delivery[] {
    const open = [...this.#open]
    const running = open.filter(({ isRunning }) => isRunning)
    return running.length > 0 && !all ? running : open.filter(({ isRunning, isManual }) => isRunning || isManual)
  }

  get #isIdle(): boolean {
    return this.#open.size === 0 && this.#running === 0
  }

  // one function for all of them
  readonly #onClosed = (delivery: Delivery): void => {
    this.#open.delete(delivery)
    if (delivery.isRunning) this.#runningOn = [...this.runningOn, delivery]
    const { outcome, queue, handler } = delivery
    if (outcome !== undefined) this.#options.events?.settled?.(outcome, queue, handler)
    // settled or lost: this process lives, and so the message kills nobody
    void this.#options.guard?.forget(delivery)
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
      next.isWaiting = false
      if (next.isOpen) await this.#handle(next)
    }
    this.#running -= 1
    this.#reportIdle()
  }

  /** Ends when the handler has: the slot is free then, however long the confirms take. Never throws. */
  async #handle(delivery: Delivery): Promise<void> {
    let handler: Handler
    let context: HandlerContext
    if (this.#watch.isLate) await this.#watch.catchUp()
    try {
      const { message } = delivery
      const envelope = readEnvelope(delivery.queue, message)
      const body = decodePayload(message.body, message.properties.contentType)
      handler = this.#handlerFor(envelope)
      delivery.handler = handler
      const schema = schemaFor(handler, envelope)
      const payload =
        schema === undefined
          ? body
          : await validate(schema, body, `payload of ${envelope.kind} '${envelope.routingKey}'`)
      context = this.#options.contextOf(delivery, envelope, payload)
    } catch (error) {
      // a schema may have failed for a reason that passes
      if (isWrongMessage(error)) this.#options.policy.refuse(delivery, error)
      else this.#options.policy.fail(delivery, error)
      return
    }
    await this.#executor.execute(handler, delivery, context)
  }

  #handlerFor(envelope: Envelope): Handler {
    const handler = this.#options.registry.find(envelope.kind, envelope.routingKey)
    if (handler === undefined) throw new NoHandlerError(envelope.kind, envelope.routingKey)
    return handler
  }
}

function isWrongMessage(error: unknown): boolean {
  return [InvalidMessageError, PayloadDecodeError, ContractError, NoHandlerError].some((kind) => error instanceof kind)
}

function schemaFor({ schemas }: Handler, envelope: Envelope): Schema | undefined {
  if (envelope.kind !== 'result') return schemas.payload
  return envelope.status === 'success' ? schemas.result : schemas.error
}
