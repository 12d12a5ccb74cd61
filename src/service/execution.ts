/**
 * Running one handler for one delivery: its time limit, its turn while the outage brake is on, once per message where that is asked
 * for, its result, and what becomes of its message.
 */
import { setTimeout as delay } from 'node:timers/promises'
import {
  CommandError,
  HandlerTimeoutError,
  InvalidSettingError,
  NoHandlerError,
  StoreError,
  UnroutableError,
} from '../errors.ts'
import type { Brake } from './brake.ts'
import { SETTLE_LATER } from './contexts.ts'
import type { CrashGuard } from './crash-guard.ts'
import type { Delivery } from './delivery.ts'
import type { FailurePolicy } from './failure-policy.ts'
import type { HandlerContext } from './handler-context.ts'
import type { Handler } from './handlers.ts'
import type { Once } from './once.ts'

export interface ExecutionParts {
  readonly service: string
  readonly policy: FailurePolicy
  readonly brake: Brake | undefined
  readonly guard: CrashGuard | undefined
  /** For handlers that have none of their own; Infinity for none. */
  readonly timeoutMs: number
  /** Aborts when the worker stops. */
  readonly stopping: AbortSignal
  /** A configuration handler answered true. */
  readonly onConfigured: () => void
}

/** How long a message waits before it goes back because the store of `once` is down. */
const STORE_DOWN_MS = 5_000

export class Executor {
  readonly #parts: ExecutionParts
  /** Handlers whose time is up and that have not ended. */
  #overdue = 0

  constructor(parts: ExecutionParts) {
    this.#parts = parts
  }

  get overdue(): number {
    return this.#overdue
  }

  /** Ends when the handler has, or its time is up: its place is free then, however long the confirms take. Never throws. */
  async execute(handler: Handler, delivery: Delivery, context: HandlerContext): Promise<void> {
    const { brake, guard, policy } = this.#parts
    try {
      if (guard !== undefined && !(await guard.allows(delivery))) {
        await guard.forget(delivery)
        policy.giveUp(delivery, 'It was delivered again and again without being settled: it may take its workers down.')
        return
      }
      if (brake !== undefined && !(await brake.turn(handler, this.#parts.stopping))) {
        // the worker stops while the message waits for its turn
        delivery.nack(true)
        return
      }
      if (handler.once !== undefined) {
        await this.#executeOnce(handler, handler.once, delivery, context)
        return
      }
      const answer = await this.#run(handler, delivery, context)
      if (answer === SETTLE_LATER || delivery.isManual) delivery.isManual = true
      else void this.#conclude(handler, delivery, context, answer)
    } catch (error) {
      void this.#onThrown(handler, delivery, context, error)
    }
  }

  async #conclude(handler: Handler, delivery: Delivery, context: HandlerContext, answer: unknown): Promise<void> {
    try {
      await this.#answer(context, answer)
      await this.#acknowledge(handler, delivery)
      // a configuration of a session that was lost says nothing to the next one
      if (delivery.queue === 'configuration' && answer === true && !delivery.isLost) this.#parts.onConfigured()
    } catch (error) {
      this.#fail(handler, delivery, error)
    }
  }

  async #onThrown(handler: Handler, delivery: Delivery, context: HandlerContext, error: unknown): Promise<void> {
    // what a subclass of Service leaves to its parent has no handler either
    if (error instanceof NoHandlerError) {
      this.#parts.policy.refuse(delivery, error)
      return
    }
    try {
      if (!(await this.#answerError(context, error))) throw error
      await this.#acknowledge(handler, delivery)
    } catch (failure) {
      this.#fail(handler, delivery, failure)
    }
  }

  async #acknowledge(handler: Handler, delivery: Delivery): Promise<void> {
    const { policy, brake, guard } = this.#parts
    await delivery.ack()
    if (delivery.isLost) return
    policy.succeeded(delivery)
    brake?.succeeded(handler)
    await guard?.forget(delivery)
  }

  #fail(handler: Handler, delivery: Delivery, error: unknown): void {
    const { policy, brake, guard } = this.#parts
    if (delivery.isLost) return
    brake?.failed(handler)
    policy.fail(delivery, error, { isPassing: brake?.isOn(handler) === true })
    // it failed, and killed nobody
    void guard?.forget(delivery)
  }

  /** Remembers that it was done after its publishes are confirmed, and acknowledges after that. */
  async #executeOnce(handler: Handler, once: Once, delivery: Delivery, context: HandlerContext): Promise<void> {
    const id = once.key === undefined ? context.messageId : once.key(context as never)
    const progress: { state: 'waiting' | 'begun' | 'done' } = { state: 'waiting' }
    let answer: unknown
    const work = async (): Promise<boolean> => {
      // another worker held the lock meanwhile, and the connection was lost
      if (delivery.isLost) throw delivery.lostBecause
      progress.state = 'begun'
      try {
        answer = await this.#run(handler, delivery, context)
        if (answer === SETTLE_LATER || delivery.isManual)
          throw new InvalidSettingError('once', 'is for handlers that do not settle their messages themselves')
        await this.#answer(context, answer)
      } catch (error) {
        if (!(await this.#answerError(context, error))) throw error
      }
      await delivery.confirmed()
      progress.state = 'done'
      return true
    }
    try {
      if (id === undefined || id === '') await work()
      else {
        const key = `done:${this.#parts.service}:${id}`
        await once.store.peekOrCreate(key, work, { ttlMs: once.ttlMs, lockMs: once.lockMs })
      }
    } catch (error) {
      const { policy } = this.#parts
      if (!(error instanceof StoreError) || progress.state === 'begun') throw error
      if (progress.state === 'done') context.log.warning(`it was done, and could not be remembered: ${error.message}`)
      else if (once.whenDown === 'handle') {
        context.log.warning(`it may be handled twice: ${error.message}`)
        await work()
      } else {
        await delay(STORE_DOWN_MS, undefined, { signal: this.#parts.stopping }).catch(() => {})
        policy.fail(delivery, error, { isPassing: true })
        return
      }
    }
    if (progress.state === 'waiting')
      context.log.debug(`${context.routingKey} was handled before, and is not handled again`)
    await this.#acknowledge(handler, delivery)
    if (delivery.queue === 'configuration' && answer === true && !delivery.isLost) this.#parts.onConfigured()
  }

  async #answer(context: HandlerContext, answer: unknown): Promise<void> {
    const { command } = context
    if (command === undefined || context.replied) return
    await unlessGone(context.reply(command, 'success', answer === undefined ? null : answer))
  }

  /** Answers a command with the documented error that its handler threw. @returns whether there was one to answer with */
  async #answerError(context: HandlerContext, error: unknown): Promise<boolean> {
    const { command } = context
    if (!(error instanceof CommandError) || command === undefined || context.replied) return false
    const payload: unknown = typeof error.payload === 'string' ? { reason: error.payload } : error.payload
    await unlessGone(context.reply(command, 'error', payload))
    return true
  }

  /** @throws what the handler throws; HandlerTimeoutError when its time is up, and then its late outcome means nothing */
  #run(handler: Handler, delivery: Delivery, context: HandlerContext): unknown {
    const timeoutMs = handler.timeoutMs ?? this.#parts.timeoutMs
    const running: unknown = handler.run(context as never)
    if (!(running instanceof Promise) || timeoutMs === Infinity) return running
    return new Promise((resolve, reject) => {
      let isOverdue = false
      const timer = setTimeout(() => {
        isOverdue = true
        this.#overdue += 1
        const error = new HandlerTimeoutError(context.routingKey, timeoutMs)
        delivery.expire(error)
        reject(error)
      }, timeoutMs)
      const end = (): void => {
        clearTimeout(timer)
        if (isOverdue) this.#overdue -= 1
      }
      running.then(
        (answer: unknown) => {
          end()
          resolve(answer)
        },
        (error: unknown) => {
          end()
          reject(error)
        },
      )
    })
  }
}

/** A caller that is gone gets no answer: that is its affair, and the returned-message hook has been told. */
async function unlessGone(reply: Promise<void>): Promise<void> {
  try {
    await reply
  } catch (error) {
    if (!(error instanceof UnroutableError)) throw error
  }
}
