/**
 * The life of one worker: sessions one after the other, for ever, until it is stopped; then it finishes what it has
 * begun, in bounded time, and gives the rest back to the broker.
 */
import { setMaxListeners } from 'node:events'
import { ConnectionError, EventailError, StoppedError, TopologyError } from '../errors.ts'
import { asError, describeError } from '../log/describe-error.ts'
import { Logger } from '../log/logger.ts'
import type { BrokerUrl } from '../transport/broker-url.ts'
import { LogChannel } from '../transport/log-channel.ts'
import { Publisher } from '../transport/publisher.ts'
import { Backoff, pause, unlessAborted } from '../transport/reconnect.ts'
import { Brake } from './brake.ts'
import { busOf } from './bus.ts'
import type { Bus } from './contexts.ts'
import { CrashGuard } from './crash-guard.ts'
import { Dispatcher } from './dispatcher.ts'
import { FailurePolicy } from './failure-policy.ts'
import { type ContextParts, HandlerContext } from './handler-context.ts'
import { healthOf, type ServiceHealth } from './health.ts'
import { HookRunner, type Hooks } from './hooks.ts'
import { workOf } from './in-hand.ts'
import { Messenger } from './messenger.ts'
import { figuresOf, harmless, type ObservedWorker, type WorkerEvents } from './observer.ts'
import { OutageReport } from './outage.ts'
import type { Registry } from './registry.ts'
import type { WorkerState } from './running-service.ts'
import { Session, type SessionParts } from './session.ts'
import { publisherSettingsOf, type Settings } from './settings.ts'
import { consumerTimeoutOf, Strikes } from './strikes.ts'
import { keysText } from './keys-text.ts'
import { limitStart, remindOfConfiguration, remindOfStart } from './waiting.ts'

/** What a worker is made of. */
export interface WorkerOptions {
  readonly service: string
  readonly registry: Registry
  readonly hooks: Hooks
  readonly settings: Settings
}

export class Worker {
  /** Resolves when the worker consumes for the first time; rejects when it stops or fails before. */
  readonly started: Promise<void>
  readonly stopped: Promise<void>
  readonly bus: Bus
  state: WorkerState = 'connecting'
  failure: Error | undefined
  /** Whether it stopped without waiting any longer for handlers that had not ended. */
  hasAbandoned = false
  readonly #options: WorkerOptions
  readonly #logger: Logger
  readonly #logChannel = new LogChannel((text) => this.#logger.write('WARNING', text))
  readonly #publisher: Publisher
  readonly #messenger: Messenger
  readonly #dispatcher: Dispatcher
  /** Undefined when nobody watches. */
  readonly #events: WorkerEvents | undefined
  readonly #hooks: HookRunner
  readonly #backoff = new Backoff()
  readonly #stopRequest = new AbortController()
  readonly #stopRequested: Promise<undefined>
  /** Aborts when the drain time of a stop is over. */
  readonly #giveUp = new AbortController()
  readonly #atStop = new Set<() => void>()
  #session: Session | undefined
  #stopHookRun: Promise<void> | undefined
  readonly #outage: OutageReport
  #wasConfigured = false
  readonly #patience = new Map<string, number>()
  #markStarted: () => void = () => {}
  #markFailed: (error: Error) => void = () => {}

  constructor(options: WorkerOptions) {
    this.#options = options
    // each message that waits for something listens, too
    setMaxListeners(0, this.#stopRequest.signal)
    const { service, settings } = options
    this.#logger = new Logger({
      service,
      sink: this.#logChannel,
      stderrLevel: settings.stderrLevel,
      onRecord: settings.onLog,
    })
    this.#outage = new OutageReport(this.#logger)
    this.#publisher = new Publisher(publisherSettingsOf(settings), {
      onReturned: (message) => void this.#hooks.onReturned(message),
      onTrouble: (level, text) => this.#logger.write(level, text),
    })
    this.#messenger = new Messenger(service, settings, this.#publisher)
    this.#hooks = new HookRunner({
      service,
      hooks: options.hooks,
      messenger: this.#messenger,
      logger: this.#logger,
      clock: settings.clock,
      giveUp: this.#giveUp.signal,
      onFailure: (error, text) => this.fail(error, text),
    })
    this.bus = busOf(this.#messenger, this.#logger.bound(''), this.#hooks.timers)
    this.#events = settings.health && harmless(settings.health.watch(this.#observed()))
    this.#dispatcher = this.#makeDispatcher()
    this.started = new Promise((resolve, reject) => {
      this.#markStarted = resolve
      this.#markFailed = reject
    })
    this.started.catch(() => {})
    this.#stopRequested = new Promise((resolve) => {
      const onStop = (): void => {
        this.#announceStop()
        resolve(undefined)
      }
      this.#stopRequest.signal.addEventListener('abort', onStop, { once: true })
    })
    this.stopped = this.#live()
  }

  #observed(): ObservedWorker {
    return {
      service: this.#options.service,
      health: () => this.health(),
      figures: () => figuresOf(this.#dispatcher, this.#publisher, this.#logChannel, this.#outage.connections),
      work: () => workOf(this.#dispatcher, this.#hooks, this.#publisher),
      queues: async () => (await this.#session?.lookAtQueues()) ?? [],
    }
  }

  get pendingPublishes(): number {
    return this.#publisher.pending
  }

  health(): ServiceHealth {
    const { service, registry } = this.#options
    return healthOf({
      service,
      state: this.state,
      failure: this.failure,
      session: this.#session,
      outage: this.#outage.reason,
      blocked: this.#publisher.blocked,
      configurations: registry.subscriptions.configurations,
    })
  }

  async stop(): Promise<void> {
    this.#stopRequest.abort()
    await this.stopped
  }

  /** Stops because of an error that the service cannot go on with. */
  fail(error: unknown, text: string): void {
    if (this.failure !== undefined || this.state === 'stopped') return
    this.failure = asError(error)
    // our own errors say what to do; the stack of others is what helps
    const full = this.failure instanceof EventailError ? '' : describeError(this.failure).full
    this.#logger.write('EMERGENCY', text, { full })
    this.#stopRequest.abort()
  }

  async #live(): Promise<void> {
    const { brokers, signal, startTimeoutMs } = this.#options.settings
    const onAbort = (): void => this.#stopRequest.abort()
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted === true) onAbort()
    // the constructor finishes first
    await Promise.resolve()
    if (!this.#stopRequest.signal.aborted) await this.#start()
    const started = limitStart(startTimeoutMs, () => this.#failUnconnected())
    for (let attempt = 0; !this.#stopRequest.signal.aborted; attempt++) {
      const broker = brokers[attempt % brokers.length]
      if (broker !== undefined) await this.#liveOneSession(broker)
    }
    started()
    signal?.removeEventListener('abort', onAbort)
    await this.#end()
  }

  /** Fails when no broker was found in the time for it. */
  #failUnconnected(): void {
    if (this.#outage.wasConnected) return
    const last = this.#outage.reason ?? 'no try has ended yet'
    const text = `no broker was found within ${this.#options.settings.startTimeoutMs} ms (startTimeoutMs): ${last}`
    this.fail(new ConnectionError(text), text)
  }

  /** Runs the first hook. One that waits for what only the connection brings must not keep the worker from stopping. */
  async #start(): Promise<void> {
    const ended = remindOfStart(this.#logger)
    await Promise.race([this.#hooks.run('onStart'), this.#stopRequested])
    ended()
  }

  async #liveOneSession(broker: BrokerUrl): Promise<void> {
    let reason: Error
    let workedMs: number | undefined
    try {
      const session = await Session.open(broker, this.#sessionParts(), this.#stopRequest.signal)
      this.#onConnected(session)
      reason = await this.#untilEnd(session)
      if (session.consumingSince !== undefined) workedMs = performance.now() - session.consumingSince
      const timeoutMs = consumerTimeoutOf(reason)
      if (timeoutMs !== undefined) this.#dispatcher.overdue(timeoutMs)
      await session.lose()
    } catch (error) {
      reason = asError(error)
    }
    this.#session = undefined
    this.#hooks.endSession()
    if (this.#stopRequest.signal.aborted) return
    this.state = 'connecting'
    if (reason instanceof TopologyError && !this.#outage.wasConnected) {
      this.fail(reason, reason.message)
      return
    }
    this.#outage.goesOn(reason)
    const isLastInTurn = broker === this.#options.settings.brokers.at(-1)
    await pause(this.#backoff.next(workedMs, reason, isLastInTurn), this.#stopRequest.signal)
  }

  /** Waits for the end of the session, or for a stop: then for what is in hand as well. */
  async #untilEnd(session: Session): Promise<Error> {
    const reason = await unlessAborted(session.ended, this.#stopRequest.signal)
    if (reason !== undefined) return reason
    await this.#drain(session)
    await session.close()
    return new StoppedError('the service was stopped')
  }

  async #drain(session: Session): Promise<void> {
    const { drainTimeoutMs } = this.#options.settings
    let timer: NodeJS.Timeout | undefined
    const timeUp = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), drainTimeoutMs)
    })
    const outcome = await Promise.race([this.#finish(session), session.ended, timeUp])
    clearTimeout(timer)
    if (outcome !== 'late') return
    const open = this.#dispatcher.open.size
    const keys = [...this.#dispatcher.open].map(({ message }) => message.routingKey)
    const left = open === 0 ? '' : `; back to the broker go ${keysText(keys)}`
    this.#logger.write(
      'WARNING',
      `not done after ${drainTimeoutMs} ms${left}; publishes that are not confirmed: ${this.#publisher.pending}`,
    )
    const because = new StoppedError(
      'the service stopped before the handler was done; the broker delivers the message again',
    )
    this.hasAbandoned = true
    this.#giveUp.abort(because)
    this.#dispatcher.loseAll(because)
  }

  async #finish(session: Session): Promise<void> {
    await session.cancel()
    for (const callback of this.#atStop) callback()
    await this.#dispatcher.idle()
    this.#hooks.timers.end()
    await this.#stopHook()
    await this.#publisher.idle()
  }

  /** Runs the last hook, once, however the worker comes to its end. */
  #stopHook(): Promise<void> {
    this.#stopHookRun ??= this.#hooks.run('onStop')
    return this.#stopHookRun
  }

  async #end(): Promise<void> {
    this.#hooks.timers.end()
    // nothing is sent any more: a hook that waits for what it publishes is told so, and need not be waited for
    const unsent = this.#publisher.close()
    const timeUp = new AbortController()
    await Promise.race([this.#stopHook(), pause(this.#options.settings.drainTimeoutMs, timeUp.signal)])
    timeUp.abort()
    this.hasAbandoned ||= this.#dispatcher.running > 0
    if (unsent.length > 0) {
      const keys = keysText(unsent.map(({ routingKey }) => routingKey))
      this.#logger.write('EMERGENCY', `stopped before the broker confirmed ${keys}`)
    }
    this.state = 'stopped'
    this.#events?.stopped?.()
    this.#markFailed(
      this.failure ?? new StoppedError(`service '${this.#options.service}' was stopped before it had started`),
    )
  }

  #announceStop(): void {
    this.state = 'stopping'
    this.#hooks.endSession()
    this.#logger.write('WARNING', 'Shutting down…')
  }

  #onConnected(session: Session): void {
    this.#outage.over(session.broker)
    this.#markStarted()
  }

  #sessionParts(): SessionParts {
    const { service, settings, registry } = this.#options
    return {
      service,
      settings,
      subscriptions: registry.subscriptions,
      publisher: this.#publisher,
      logChannel: this.#logChannel,
      dispatcher: this.#dispatcher,
      patience: this.#patience,
      isConfigured: () => settings.keepConfiguration && this.#wasConfigured,
      onBegin: (session) => {
        this.#session = session
      },
      onUnconfigured: (session) => {
        if (this.#stopRequest.signal.aborted) return
        this.#enter('unconfigured')
        this.#logger.write('NOTICE', 'waiting for the configuration')
        remindOfConfiguration(this.#logger, session.signal, () => this.state === 'unconfigured')
        this.#hooks.runInSession('onUnconfigured', session.signal)
      },
      onReady: (session) => {
        // the stop came while the last consumer was being asked for
        if (this.#stopRequest.signal.aborted) return
        this.#wasConfigured = true
        this.#enter('ready')
        const queues = session.queueNames.length === 0 ? '' : `: consuming ${session.queueNames.join(', ')}`
        this.#logger.write('INFO', `ready${queues} on ${session.broker.shown}`)
        this.#hooks.runInSession('onReady', session.signal)
      },
    }
  }

  #enter(state: WorkerState): void {
    if (this.state !== 'stopping') this.state = state
  }

  #makeDispatcher(): Dispatcher {
    const { service, registry, settings } = this.#options
    const policy = new FailurePolicy(settings.retry, this.#logger)
    const parts: ContextParts = {
      service,
      messenger: this.#messenger,
      logger: this.#logger,
      timers: this.#hooks.timers,
      clock: settings.clock,
      prefetch: settings.prefetch,
      manualBefore: (delivery) => this.#dispatcher.manualBefore(delivery),
      ackOrFail: (delivery) => this.#dispatcher.ackOrFail(delivery),
      fail: (delivery, error) => policy.fail(delivery, error, { isTold: true }),
      resultSchemas: (command) => registry.find('command', command.routingKey)?.schemas ?? {},
      atStop: (callback) => {
        this.#atStop.add(callback)
      },
      isStopping: () => this.#stopRequest.signal.aborted,
    }
    return new Dispatcher({
      service,
      registry,
      policy,
      brake: settings.outageBrake && new Brake(settings.outageBrake, settings.clock, this.#logger),
      guard: settings.crashGuard && new CrashGuard(service, settings.crashGuard, this.#logger),
      strikes: new Strikes(settings.retry, this.#logger),
      timeoutMs: settings.handlerTimeoutMs,
      clock: settings.clock,
      stopping: this.#stopRequest.signal,
      concurrency: settings.concurrency,
      contextOf: (delivery, envelope, payload) => new HandlerContext(parts, delivery, envelope, payload),
      onConfigured: () => void this.#session?.configured(),
      events: this.#events,
    })
  }
}
