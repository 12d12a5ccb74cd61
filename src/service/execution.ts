/**
 * Running one handler for one delivery: its time limit, its turn while the outage brake is on, once per message where that is asked
 * for, its result, and what becomes of its message.
 */
import {
  CommandError,
  HandlerTimeoutError,
  NoHandlerError,
  PermanentError,
  StoreBusyError,
  StoreError,
  UnroutableError,
} from '../errors.ts'
import type { Clock } from '../time/clock.ts'
import { pauseBy } from '../time/pause.ts'
import type { Brake, Turn } from './brake.ts'
import { SETTLE_LATER } from './contexts.ts'
import type { Admission, CrashGuard } from './crash-guard.ts'
import type { Delivery } from './delivery.ts'
import type { FailurePolicy } from './failure-policy.ts'
import type { HandlerContext } from './handler-context.ts'
import type { Handler } from './handlers.ts'
import type { LoopWatch } from './loop-watch.ts'
import type { WorkerEvents } from './observer.ts'
import type { Once } from './once.ts'
import type { Strikes } from './strikes.ts'

export interface ExecutionParts {
  readonly service: string
  readonly policy: FailurePolicy
  readonly brake: Brake | undefined
  readonly guard: CrashGuard | undefined
  readonly strikes: Strikes
  readonly watch: LoopWatch
  /** For handlers that have none of their own; Infinity for none. */
  readonly timeoutMs: number
  /** Of pauses; the time of handlers is the system's. */
  readonly clock: Clock
  /** Aborts when the worker stops. */
  readonly stopping: AbortSignal
  /** A configuration handler answered true. */
  readonly onConfigured: () => void
  /** Of whoever watches the worker; what it is told throws nothing. */
  readonly events: WorkerEvents | undefined
}

/** How long a message waits before it goes back because the store of `once` is down, or another worker has it. */
const GIVE_BACK_MS = 5_000
/** How long the lock of another worker is waited for. */
const LOCK_WAIT_MS = 1_000
const LOCK_MARGIN_MS = 60_000
const DAY_MS = 86_400_000
const NO_TURN: Turn = { end: () => {} }

/** A handler that is tried with a message. */
interface Attempt {
  readonly handler: Handler
  readonly delivery: Delivery
  readonly context: HandlerContext
  readonly turn: Turn
  /** What the handler returned, which may go on after its time is up. */
  running?: unknown
}

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
  execute(handler: Handler, delivery: Delivery, context: HandlerContext): Promise<void> {
    const { strikes, policy } = this.#parts
    if (!strikes.hasAny(delivery)) return this.#execute(handler, delivery, context)
    return strikes.inTurn(delivery, async () => {
      if (!strikes.isOut(delivery)) return this.#execute(handler, delivery, context)
      if (!delivery.isOpen) return
      strikes.forget(delivery)
      policy.giveUp(delivery, 'Its handling cost the connection again and again.')
    })
  }

  #execute(handler: Handler, delivery: Delivery, context: HandlerContext): Promise<void> {
    const { brake, guard } = this.#parts
    const attempt: Attempt = { handler, delivery, context, turn: NO_TURN }
    return brake === undefined && guard === undefined ? this.#try(attempt) : this.#tryAdmitted(attempt)
  }

  /** As soon as the brake and the crash guard let it, if they do. */
  async #tryAdmitted({ handler, delivery, context }: Attempt): Promise<void> {
    const { brake, guard, policy, stopping } = this.#parts
    const untilOver = (): AbortSignal => AbortSignal.any([stopping, delivery.signal])
    if (brake?.isOn(handler) === true) delivery.isWaiting = true
    const turn = brake === undefined ? NO_TURN : await brake.turn(handler, untilOver)
    delivery.isWaiting = false
    if (turn === undefined || !delivery.isOpen) {
      // the worker stops while the message waits for its turn; one that was lost meanwhile comes again
      turn?.end('neither')
      delivery.nack(true)
      return
    }
    let attempt: Attempt = { handler, delivery, context, turn }
    try {
      if (guard !== undefined) {
        const admission = await guard.admit(delivery, untilOver)
        attempt = { ...attempt, turn: endingBoth(turn, admission) }
        if (stopping.aborted) {
          // it may have waited for suspect ones
          attempt.turn.end('neither')
          delivery.nack(true)
          return
        }
        if (!admission.isAllowed && delivery.isOpen) {
          attempt.turn.end('neither')
          policy.giveUp(
            delivery,
            'It was delivered again and again without being settled: it may take its workers down.',
          )
          return
        }
      }
      await this.#try(attempt)
    } catch (error) {
      void this.#onThrown(attempt, error)
    }
  }

  async #try(attempt: Attempt): Promise<void> {
    const { handler, delivery, turn } = attempt
    try {
      if (!delivery.isOpen) turn.end('neither')
      else if (handler.once !== undefined) await this.#executeOnce(attempt, handler.once)
      else {
        const answer = await this.#run(attempt)
        if (answer === SETTLE_LATER || delivery.isManual) {
          delivery.isManual = true
          // what it depends on answered, as far as anybody can tell
          turn.end('succeeded')
        } else void this.#conclude(attempt, answer)
      }
    } catch (error) {
      void this.#onThrown(attempt, error)
    }
  }

  async #conclude(attempt: Attempt, answer: unknown): Promise<void> {
    try {
      const answered = this.#answer(attempt.context, answer)
      if (answered !== undefined) await answered
      await this.#acknowledge(attempt)
      this.#configure(attempt, answer)
    } catch (error) {
      this.#fail(attempt, error)
    }
  }

  async #onThrown(attempt: Attempt, error: unknown): Promise<void> {
    // what a subclass of Service leaves to its parent has no handler either
    if (error instanceof NoHandlerError) {
      attempt.turn.end('neither')
      this.#parts.policy.refuse(attempt.delivery, error)
      return
    }
    try {
      if (!(await this.#answerError(attempt.context, error))) throw error
      await this.#acknowledge(attempt)
    } catch (failure) {
      this.#fail(attempt, failure)
    }
  }

  async #acknowledge({ delivery, turn }: Attempt): Promise<void> {
    const { policy } = this.#parts
    await delivery.ack()
    turn.end(delivery.isLost ? 'neither' : 'succeeded')
    if (!delivery.isLost) policy.succeeded(delivery)
  }

  #fail({ handler, delivery, turn }: Attempt, error: unknown): void {
    const { policy, brake } = this.#parts
    turn.end(delivery.isLost || error instanceof PermanentError ? 'neither' : 'failed')
    policy.fail(delivery, error, { isPassing: brake?.isOn(handler) === true })
  }

  /** A configuration of a session that was lost says nothing to the next one. */
  #configure({ delivery }: Attempt, answer: unknown): void {
    if (delivery.queue === 'configuration' && answer === true && !delivery.isLost) this.#parts.onConfigured()
  }

  /** Remembers that it was done after its publishes are confirmed, and acknowledges after that. */
  async #executeOnce(attempt: Attempt, once: Once): Promise<void> {
    const { handler, delivery, context, turn } = attempt
    const key = this.#keyOf(attempt, once)
    const progress: { state: 'waiting' | 'begun' | 'done' } = { state: 'waiting' }
    let answer: unknown
    let timeIsUp: (error: HandlerTimeoutError) => void = () => {}
    const late = new Promise<never>((_, reject) => {
      timeIsUp = reject
    })
    const work = async (): Promise<boolean> => {
      // another worker held the lock meanwhile, and the connection was lost
      if (delivery.isLost) throw delivery.lostBecause
      progress.state = 'begun'
      try {
        answer = await this.#run(attempt)
        const isSettled = !delivery.isOpen && !delivery.isLost
        if (answer === SETTLE_LATER || delivery.isManual || isSettled)
          throw new PermanentError(
            `the handler of '${handler.key}' settles its messages by itself (SETTLE_LATER, ack, nack, or a batch), which 'once' cannot follow: take one of them out`,
          )
        await this.#answer(context, answer)
      } catch (error) {
        if (error instanceof HandlerTimeoutError) {
          timeIsUp(error)
          // nobody else may begin before this one has ended, or its lock
          await Promise.allSettled([attempt.running])
        }
        if (!(await this.#answerError(context, error))) throw error
      }
      await delivery.confirmed()
      progress.state = 'done'
      return true
    }
    try {
      const times = { ttlMs: once.ttlMs, lockMs: once.lockMs ?? this.#lockMsOf(attempt), waitMs: LOCK_WAIT_MS }
      await Promise.race([key === undefined ? work() : once.store.peekOrCreate(key, work, times), late])
    } catch (error) {
      if (!(error instanceof StoreError) || progress.state === 'begun') throw error
      if (progress.state === 'done') context.log.warning(`it was done, and could not be remembered: ${error.message}`)
      else if (once.whenDown === 'handle' && !(error instanceof StoreBusyError)) {
        context.log.warning(`it may be handled twice: ${error.message}`)
        await Promise.race([work(), late])
      } else {
        turn.end('neither')
        void this.#giveBackLater(delivery, context, error)
        return
      }
    }
    if (progress.state === 'waiting') {
      // nothing was tried
      turn.end('neither')
      context.log.debug(`${context.routingKey} was handled before, and is not handled again`)
    }
    await this.#acknowledge(attempt)
    this.#configure(attempt, answer)
  }

  /** Of a user's own keys each handler has its own: a message's id is its own anyway. */
  #keyOf({ handler, context }: Attempt, once: Once): string | undefined {
    const { service } = this.#parts
    const id = once.key === undefined ? context.messageId : once.key(context as never)
    if (id === undefined || id === '') return undefined
    return once.key === undefined ? `done:${service}:${id}` : `done:${service}:${handler.kind}:${handler.key}:${id}`
  }

  /** Longer than the handler may take: whoever comes after it must find what it did. */
  #lockMsOf({ handler }: Attempt): number {
    const timeoutMs = handler.timeoutMs ?? this.#parts.timeoutMs
    return timeoutMs === Infinity ? DAY_MS : Math.min(DAY_MS, Math.ceil(timeoutMs) + LOCK_MARGIN_MS)
  }

  /** The message waits a while, without a place among the handlers, before it goes back. */
  async #giveBackLater(delivery: Delivery, context: HandlerContext, error: StoreError): Promise<void> {
    // somebody has it in hand, or had it when he died: nothing is wrong with it
    if (error instanceof StoreBusyError) context.log.notice(`${context.routingKey} waits: ${error.message}`)
    delivery.isWaiting = true
    await pauseBy(this.#parts.clock, GIVE_BACK_MS, this.#parts.stopping)
    delivery.isWaiting = false
    if (error instanceof StoreBusyError) delivery.nack(true)
    else this.#parts.policy.fail(delivery, error, { isPassing: true })
  }

  /** @returns undefined when there is nobody to answer */
  #answer(context: HandlerContext, answer: unknown): Promise<void> | undefined {
    const { command } = context
    if (command === undefined || context.replied) return undefined
    return unlessGone(context.reply(command, 'success', answer === undefined ? null : answer))
  }

  /** Answers a command with the documented error that its handler threw. @returns whether there was one to answer with */
  async #answerError(context: HandlerContext, error: unknown): Promise<boolean> {
    const { command } = context
    if (!(error instanceof CommandError) || command === undefined || context.replied) return false
    const payload: unknown = typeof error.payload === 'string' ? { reason: error.payload } : error.payload
    await unlessGone(context.reply(command, 'error', payload))
    return true
  }

  /** Calls the handler, watches how long that takes until it awaits, and times it where somebody wants to know. */
  #call({ handler, delivery, context }: Attempt): unknown {
    const ran = this.#parts.events?.ran
    const began = performance.now()
    delivery.begunAt = began
    const end = (): void => ran?.(handler, performance.now() - began)
    let isRunning = false
    // it may settle its message before it first awaits
    delivery.isRunning = true
    try {
      const returned: unknown = handler.run(context as never)
      if (!isThenable(returned)) return returned
      isRunning = true
      // asked once: what libraries return may begin its work each time that it is
      const running = Promise.resolve(returned)
      if (ran !== undefined) running.then(end, end)
      return running
    } finally {
      delivery.isRunning = isRunning
      if (!isRunning) end()
      this.#parts.watch.returned(delivery, began)
    }
  }

  /** @throws what the handler throws; HandlerTimeoutError when its time is up, and then its late outcome means nothing */
  #run(attempt: Attempt): unknown {
    const { handler, delivery, context } = attempt
    const timeoutMs = handler.timeoutMs ?? this.#parts.timeoutMs
    const returned = this.#call(attempt)
    attempt.running = returned
    if (!isThenable(returned)) return returned
    return new Promise((resolve, reject) => {
      let isOverdue = false
      const onTime = (): void => {
        isOverdue = true
        this.#overdue += 1
        const error = new HandlerTimeoutError(context.routingKey, timeoutMs)
        delivery.expire(error)
        reject(error)
      }
      // a handler that was abandoned when its worker stopped keeps no process for it
      const timer = timeoutMs === Infinity ? undefined : setTimeout(onTime, timeoutMs).unref()
      const end = (): void => {
        clearTimeout(timer)
        this.#parts.watch.check()
        delivery.isRunning = false
        if (isOverdue) this.#overdue -= 1
      }
      returned.then(
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

function endingBoth(turn: Turn, admission: Admission): Turn {
  return {
    end: (outcome) => {
      turn.end(outcome)
      admission.end()
    },
  }
}

/** Promises of other libraries are none of the runtime's own. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

/** A caller that is gone gets no answer: that is its affair, and the returned-message hook has been told. */
async function unlessGone(reply: Promise<void>): Promise<void> {
  try {
    await reply
  } catch (error) {
    if (!(error instanceof UnroutableError)) throw error
  }
}
