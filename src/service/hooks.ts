/** What a service may do at the turns of its life, and what becomes of errors in there. */
import { ConnectionError, DeliveryLostError, StoppedError, UnroutableError } from '../errors.ts'
import { describeError } from '../log/describe-error.ts'
import type { Logger } from '../log/logger.ts'
import type { Clock } from '../time/clock.ts'
import type { OutgoingMessage } from '../wire/message.ts'
import { busOf } from './bus.ts'
import type { ReturnedMessage, ServiceContext } from './contexts.ts'
import type { Messenger } from './messenger.ts'
import { returnedMessage } from './returned.ts'
import { type RunningCall, Timers } from './timers.ts'

/**
 * The hooks of a service; each may be asynchronous. One that throws stops the service (EMERGENCY), unless it does so
 * because the connection was lost or the service is being stopped. One that ends because nobody takes its command is an
 * ERROR; only `onReturned` must not end in it.
 */
export interface Hooks {
  /**
   * Once, before the first connection, which waits for it: so what it publishes cannot be awaited in here. Timers made
   * here live as long as the worker.
   */
  readonly onStart?: (context: ServiceContext) => unknown
  /**
   * Whenever the service begins to consume: after the start, and after each reconnect. Timers made here end with the
   * connection, since the hook runs again after the next one.
   */
  readonly onReady?: (context: ServiceContext) => unknown
  /** Whenever the service waits for its configuration: typically publishes a request for it. Timers as in `onReady`. */
  readonly onUnconfigured?: (context: ServiceContext) => unknown
  /** A mandatory message of this worker came back, because no queue takes it. Without this hook it is logged as ERROR. */
  readonly onReturned?: (message: ReturnedMessage, context: ServiceContext) => unknown
  /** Once, when the service stops: after the last handler has ended, and before the connection is closed. */
  readonly onStop?: (context: ServiceContext) => unknown
}

/** The names of all hooks. */
export const HOOK_NAMES: readonly (keyof Hooks)[] = ['onStart', 'onReady', 'onUnconfigured', 'onReturned', 'onStop']

export interface HookRunnerOptions {
  readonly service: string
  readonly hooks: Hooks
  readonly messenger: Messenger
  readonly logger: Logger
  /** Of the timers. */
  readonly clock: Clock
  /** Aborts when the worker gives up what is not done at the end of its drain time. */
  readonly giveUp: AbortSignal
  /** A hook failed: the service cannot go on. */
  readonly onFailure: (error: unknown, text: string) => void
}

export class HookRunner {
  /** Timers that live as long as the worker. */
  readonly timers: Timers
  /** The hooks that run, and the callbacks of timers. */
  readonly running = new Set<RunningCall>()
  readonly #options: HookRunnerOptions
  readonly #sessionTimers: Timers[] = []
  #hasFailed = false

  constructor(options: HookRunnerOptions) {
    this.#options = options
    this.timers = this.#makeTimers()
  }

  /** Runs a hook of the worker. Never rejects. */
  run(name: 'onStart' | 'onStop'): Promise<void> {
    return this.#run(name, this.#contextWith(this.timers, this.#options.giveUp, ''))
  }

  /** Runs a hook whose timers end with the session, because it runs again in the next one. */
  runInSession(name: 'onReady' | 'onUnconfigured', session: AbortSignal): void {
    const timers = this.#makeTimers()
    if (session.aborted) timers.end()
    this.#sessionTimers.push(timers)
    void this.#run(name, this.#contextWith(timers, session, ''))
  }

  /** Ends the timers of the session. */
  endSession(): void {
    for (const timers of this.#sessionTimers.splice(0)) timers.end()
  }

  /** A mandatory message came back. */
  async onReturned(message: OutgoingMessage): Promise<void> {
    const { hooks, logger, onFailure, giveUp } = this.#options
    const returned = returnedMessage(message)
    const { conversationId, routingKey, exchange } = returned
    // once it has failed it is not called again: what it sends could come back for ever
    if (hooks.onReturned === undefined || this.#hasFailed) {
      const isResult = message.properties.headers?.['status'] !== undefined
      const text = isResult
        ? `the result '${routingKey}' came back: whoever sent the command handles no such result, or is gone with its queue`
        : `message '${routingKey}' on exchange '${exchange}' came back: no queue is bound for it`
      logger.write('ERROR', text, { conversationId })
      return
    }
    const call = { name: 'onReturned' }
    this.running.add(call)
    try {
      await hooks.onReturned(returned, this.#contextWith(this.timers, giveUp, conversationId))
    } catch (error) {
      if (isPassing(error)) return
      this.#hasFailed = true
      onFailure(
        error,
        `the onReturned hook failed for '${routingKey}', and the service stops: ${describeError(error).summary}`,
      )
    } finally {
      this.running.delete(call)
    }
  }

  async #run(name: 'onStart' | 'onReady' | 'onUnconfigured' | 'onStop', context: ServiceContext): Promise<void> {
    const call = { name }
    this.running.add(call)
    try {
      await this.#options.hooks[name]?.(context)
    } catch (error) {
      if (error instanceof UnroutableError) {
        // nobody is there yet to take it: no reason to stop, but the rest of the hook did not run
        this.#options.logger.write('ERROR', `the ${name} hook ended early: ${error.message}`)
      } else if (!isPassing(error))
        this.#options.onFailure(
          error,
          `the ${name} hook failed, and the service stops: ${describeError(error).summary}`,
        )
    } finally {
      this.running.delete(call)
    }
  }

  #makeTimers(): Timers {
    return new Timers(this.#options.clock, this.running, (error) => {
      if (isPassing(error) || error instanceof UnroutableError) return
      const { summary, full } = describeError(error)
      this.#options.logger.write('ALERT', `unexpected error in a timer: ${summary}`, { full })
    })
  }

  #contextWith(timers: Timers, signal: AbortSignal, conversationId: string): ServiceContext {
    const { service, messenger, logger } = this.#options
    return { ...busOf(messenger, logger.bound(conversationId), timers), service, signal }
  }
}

/** Whether an error only says what has been told already: connection lost, service stopped. */
function isPassing(error: unknown): boolean {
  return [StoppedError, DeliveryLostError, ConnectionError].some((kind) => error instanceof kind)
}
