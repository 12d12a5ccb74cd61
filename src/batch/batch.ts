/**
 * The batch processor: collects messages and handles them together, without losing any.
 *
 * The messages of a batch stay unacknowledged until its callback has ended without error; then all are acknowledged, each
 * once what was published for it is confirmed. A service that stops flushes its batches; messages of a lost connection
 * leave their batch, since the broker delivers them again.
 */
import { checkFunction, checkOptions, checkWhole, LONGEST_TIMER_MS } from '../options.ts'
import { describeError } from '../log/describe-error.ts'
import { type MessageContext, SETTLE_LATER, type SettleLater } from '../service/contexts.ts'
import { HandlerContext } from '../service/handler-context.ts'
import { type Cancel, SYSTEM_CLOCK } from '../time/clock.ts'

/** When a batch is handled, and how. `C` is the context of the handlers that push into it. */
export interface BatchOptions<C extends MessageContext> {
  /** The batch is handled when it has this many messages. With a smaller `prefetch` of the service only time ends it. */
  readonly maxEntries: number
  /** It is handled this many milliseconds after its first message at the latest. */
  readonly timeoutMs: number
  /** Handles the messages, in the order in which they were pushed. Throws: each of them has failed, as in its own handler. */
  readonly handle: (messages: readonly C[]) => unknown
}

/** Collects messages that are handled together. */
export interface Batch<C extends MessageContext> {
  /** Adds a message; can be given to `onEvent` as it is. Takes the context itself, not a copy. Returns what the handler has to return. */
  readonly push: (context: C) => SettleLater
  /** Handles what is there now, `maxEntries` at most. Resolves when that is done; never rejects. */
  readonly flush: () => Promise<void>
  /** How many messages wait in the batch. */
  readonly size: number
}

/**
 * Makes a batch processor. One per kind of message; all are independent.
 * @throws InvalidSettingError when a limit is not a positive whole number (2_147_483_647 at most), or `handle` is no function
 */
export function createBatch<C extends MessageContext>(options: BatchOptions<C>): Batch<C> {
  checkOptions('batch', options, ['maxEntries', 'timeoutMs', 'handle'])
  checkFunction('handle of a batch', options.handle)
  for (const name of ['maxEntries', 'timeoutMs'] as const)
    checkWhole(`${name} of a batch`, options[name], 1, LONGEST_TIMER_MS)
  return new BatchProcessor(options)
}

class BatchProcessor<C extends MessageContext> implements Batch<C> {
  readonly #options: BatchOptions<C>
  #messages: C[] = []
  /** Of the first message. */
  #timer: Cancel | undefined
  #warned = false

  constructor(options: BatchOptions<C>) {
    this.#options = options
  }

  get size(): number {
    return this.#messages.length
  }

  readonly push = (context: C): SettleLater => {
    const { maxEntries } = this.#options
    // a handler that forgets to return SETTLE_LATER must not have its message acknowledged before the batch is handled
    if (context instanceof HandlerContext) context.takeCharge()
    // the connection was lost meanwhile: the broker delivers the message again
    if (context.signal.aborted) return SETTLE_LATER
    this.#messages.push(context)
    this.#startTimer()
    context.signal.addEventListener('abort', () => this.#forget(context), { once: true })
    const worker = workerOf(context)
    worker?.atStop(this.#onStop)
    if (worker !== undefined && worker.prefetch < maxEntries) this.#warn(context, worker.prefetch)
    const isStopping = worker?.isStopping() === true
    const isDue = this.#messages.length >= maxEntries || isStopping
    markWaiting(isDue ? this.#messages : [context], !isDue)
    // its handler returns first: only then the message counts as one to be settled by hand
    if (isDue) setImmediate(() => this.#flushDue(isStopping))
    return SETTLE_LATER
  }

  readonly flush = async (): Promise<void> => {
    this.#endTimer()
    this.#forgetClosed()
    const messages = this.#messages.splice(0, this.#options.maxEntries)
    if (messages.length === 0) return
    markWaiting(messages, false)
    markWaiting(this.#messages, true)
    // more may have come in one go than a batch takes
    if (this.#messages.length > 0) this.#startTimer()
    try {
      await this.#options.handle(messages)
      // each acknowledges itself when what was published for it is confirmed, and fails by itself
      await Promise.allSettled(messages.map(({ ack }) => ack()))
    } catch (error) {
      this.#fail(messages, error)
    }
  }

  readonly #onStop = (): void => this.#flushDue(true)

  #startTimer(): void {
    const [first] = this.#messages
    const clock = (first && workerOf(first)?.clock) ?? SYSTEM_CLOCK
    this.#timer ??= clock.after(this.#options.timeoutMs, () => void this.flush())
  }

  #endTimer(): void {
    this.#timer?.()
    this.#timer = undefined
  }

  /** Handles every full batch, and at a stop the rest as well. */
  #flushDue(isStopping: boolean): void {
    const least = isStopping ? 1 : this.#options.maxEntries
    this.#forgetClosed()
    while (this.#messages.length >= least) void this.flush()
  }

  /** The failure policy of handlers, for each message. */
  #fail(messages: readonly C[], error: unknown): void {
    // those of a lost connection come again whatever happened, and those settled by hand do not
    const open = messages.filter(isOpen)
    const { summary, full } = describeError(error)
    open[0]?.log.alert(`unexpected error while handling a batch of ${messages.length}: ${summary}`, { full })
    for (const context of open) {
      if (context instanceof HandlerContext) context.fail(error)
    }
  }

  #forget(context: C): void {
    this.#messages = this.#messages.filter((message) => message !== context)
    if (this.#messages.length === 0) this.#endTimer()
  }

  /** One whose handler failed after it was pushed has gone back to the broker. */
  #forgetClosed(): void {
    this.#messages = this.#messages.filter(isOpen)
  }

  #warn({ log }: C, prefetch: number): void {
    if (this.#warned) return
    this.#warned = true
    log.warning(
      `prefetch is ${prefetch} and a batch takes ${this.#options.maxEntries}: batches end by time-out with ${prefetch} messages at most; raise prefetch`,
    )
  }
}

function markWaiting(messages: readonly MessageContext[], isWaiting: boolean): void {
  for (const context of messages) if (context instanceof HandlerContext) context.isWaiting = isWaiting
}

function workerOf(context: MessageContext): HandlerContext['worker'] | undefined {
  return context instanceof HandlerContext ? context.worker : undefined
}

function isOpen(context: MessageContext): boolean {
  return context instanceof HandlerContext ? context.isOpen : !context.signal.aborted
}
