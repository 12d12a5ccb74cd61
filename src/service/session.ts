/**
 * One connected period of a worker: two connections to one broker (one consumes, one publishes, so that acknowledgements
 * get through while the broker blocks publishers), everything declared, and the configuration gate.
 *
 * It ends as a whole: when either connection, the consuming channel or a consumer is lost, a new session begins, in which
 * everything is declared again.
 */
import { ConnectionError, StoppedError, TopologyError } from '../errors.ts'
import { asError } from '../log/describe-error.ts'
import { type QueuePlan, queuePlans, type Subscriptions } from '../topology/plan.ts'
import { AmqpConnection } from '../transport/amqp-connection.ts'
import type { BrokerUrl } from '../transport/broker-url.ts'
import { ConsumeChannel } from '../transport/consume-channel.ts'
import type { LogChannel } from '../transport/log-channel.ts'
import type { Publisher } from '../transport/publisher.ts'
import type { QueueKind } from '../wire/envelope.ts'
import { ConsumerWatch, type Watched } from './consumer-watch.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { QueueInUse } from './in-hand.ts'
import type { Settings } from './settings.ts'

/** How long a connection may take to close properly. */
const CLOSE_MS = 2_000
/** The same for what is left of a session that was lost: the next one waits for it. */
const ABANDON_MS = 500

/** How long the broker may take to answer what was asked when a stop came. */
const LAST_ANSWERS_MS = 1_000

export interface SessionParts {
  readonly service: string
  readonly settings: Settings
  readonly subscriptions: Subscriptions
  readonly publisher: Publisher
  readonly logChannel: LogChannel
  readonly dispatcher: Dispatcher
  /** How long silent queues are borne; see {@link ConsumerWatch}. */
  readonly patience: Map<string, number>
  /** Whether it goes on with the configuration of an earlier session. */
  isConfigured(): boolean
  /** The session is about to consume. */
  onBegin(session: Session): void
  /** The session works, but waits for its configuration. */
  onUnconfigured(session: Session): void
  /** Everything is consumed. */
  onReady(session: Session): void
}

export class Session {
  readonly broker: BrokerUrl
  /** Settles, without rejecting, with the reason why the session ended. */
  readonly ended: Promise<Error>
  /** When it began to consume, by the monotonic clock; undefined before. */
  consumingSince: number | undefined
  readonly #parts: SessionParts
  readonly #controller = new AbortController()
  #end: (reason: Error) => void = () => {}
  #consumeConnection: AmqpConnection | undefined
  #publishConnection: AmqpConnection | undefined
  #channel: ConsumeChannel<QueueKind> | undefined
  #queues: { plan: QueuePlan; name: string }[] = []
  readonly #delivered = { event: 0, command: 0, configuration: 0 }
  #watch: ConsumerWatch | undefined
  /** Whether the broker was asked to deliver. */
  #isDelivering = false
  /** Whether events and commands are consumed; 'shut' is for good. */
  #gate: 'closed' | 'opening' | 'open' | 'shut' = 'closed'

  private constructor(broker: BrokerUrl, parts: SessionParts) {
    this.broker = broker
    this.#parts = parts
    this.ended = new Promise((resolve) => {
      this.#end = (reason) => {
        resolve(reason)
        this.#controller.abort(reason)
      }
    })
  }

  /**
   * Connects, declares everything and begins to consume.
   * @throws ConnectionError, AccessRefusedError, TopologyError; StoppedError when `signal` aborts meanwhile
   */
  static async open(broker: BrokerUrl, parts: SessionParts, signal: AbortSignal): Promise<Session> {
    const session = new Session(broker, parts)
    let late: NodeJS.Timeout | undefined
    const abandon = (): void => {
      const stopped = (): void => session.#abandon(new StoppedError('stopped while connecting'))
      // what was delivered already is worth finishing in good order; a line that is dead must not hold the stop up
      if (session.#isDelivering) late = setTimeout(stopped, LAST_ANSWERS_MS)
      else stopped()
    }
    signal.addEventListener('abort', abandon, { once: true })
    try {
      await session.#connect(signal)
      await session.#declare()
      await session.#consume()
    } catch (error) {
      // why a connection was lost says more than the call that failed because of it
      const lost = session.#controller.signal.aborted ? session.#controller.signal.reason : undefined
      await session.lose()
      throw signal.aborted ? new StoppedError('stopped while connecting') : (moreTelling(error, lost) as Error)
    } finally {
      clearTimeout(late)
      signal.removeEventListener('abort', abandon)
    }
    return session
  }

  /** Aborts when the session ends. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** The queues that this session consumes from. */
  get queueNames(): readonly string[] {
    return this.#queues.map(({ name }) => name)
  }

  /** The queues that it does not consume from, or not yet. */
  get unattended(): readonly { readonly kind: QueueKind; readonly queue: string }[] {
    return this.#queues
      .filter(({ plan }) => this.#channel?.consumes(plan.kind) !== true)
      .map(({ plan, name }) => ({ kind: plan.kind, queue: name }))
  }

  /** Whether its configuration has come, or it needs none. */
  get isConfigured(): boolean {
    return this.#gate === 'opening' || this.#gate === 'open'
  }

  get #isShut(): boolean {
    return this.#gate === 'shut'
  }

  /**
   * Asks for what waits in the queues, twice. The broker's channel may answer the first question before it sends what a queue has given
   * it meanwhile, but not the second: whatever had been delivered before has arrived then.
   */
  async lookAtQueues(): Promise<readonly QueueInUse[]> {
    const channel = this.#channel
    if (channel === undefined) return []
    const look = (): Promise<readonly QueueInUse[]> =>
      Promise.all(
        this.#queues.map(async ({ plan: { kind }, name }) => ({
          kind,
          name,
          isConsumed: channel.consumes(kind),
          ready: await channel.waitingIn(name),
          isFull: this.#inHand(kind) >= this.#parts.settings.prefetch,
        })),
      )
    await look()
    return look()
  }

  /** Begins to consume events and commands. Does nothing when that was done. */
  async configured(): Promise<void> {
    if (this.#gate !== 'closed') return
    this.#gate = 'opening'
    try {
      for (const { plan, name } of this.#queues) {
        if (plan.kind !== 'configuration') await this.#channel?.consume(plan.kind, name)
      }
    } catch (error) {
      this.#abandon(asError(error))
      return
    }
    if (this.#controller.signal.aborted || this.#isShut) return
    this.#gate = 'open'
    this.#parts.onReady(this)
  }

  /** Asks for no more deliveries, whatever configuration still comes. */
  async cancel(): Promise<void> {
    this.#gate = 'shut'
    await this.#channel?.cancel()
  }

  /** Ends the session in good order: what was settled reaches the broker, and the connections are closed properly. */
  async close(): Promise<void> {
    this.#channel?.acknowledger.flush()
    this.#parts.logChannel.detach()
    await this.#closeConnections(CLOSE_MS)
    await this.lose()
  }

  /** Ends the session as lost: its deliveries come again, and what was published on their behalf is dropped. */
  async lose(): Promise<void> {
    this.#end(new ConnectionError('the session was closed'))
    this.#channel?.acknowledger.flush()
    this.#parts.dispatcher.loseAll()
    this.#parts.publisher.detach()
    this.#parts.logChannel.detach()
    // whichever connection still works is closed properly, so that the acknowledgements on it count
    await this.#closeConnections(ABANDON_MS)
  }

  async #closeConnections(timeoutMs: number): Promise<void> {
    await Promise.all([this.#consumeConnection?.shutDown(timeoutMs), this.#publishConnection?.shutDown(timeoutMs)])
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const { settings, service } = this.#parts
    const open = async (purpose: string): Promise<AmqpConnection> => {
      const name = `${service}@${process.pid} (${purpose})`
      const { connectTimeoutMs, heartbeatMs, tls } = settings
      const connection = await AmqpConnection.open(this.broker, { name, connectTimeoutMs, heartbeatMs, tls }, signal)
      void connection.lost.then((reason) =>
        this.#end(reason ?? new ConnectionError(`${this.broker.shown}: the connection was closed`)),
      )
      return connection
    }
    // one after the other: where the broker refuses, it is asked only once
    this.#consumeConnection = await open('consume')
    this.#publishConnection = await open('publish')
  }

  async #declare(): Promise<void> {
    const { settings, service, subscriptions, publisher, logChannel, dispatcher } = this.#parts
    const [consume, publish] = [this.#consumeConnection, this.#publishConnection]
    if (consume === undefined || publish === undefined) throw new ConnectionError('not connected')
    const channel = await ConsumeChannel.open<QueueKind>(consume, settings.prefetch, settings.connectTimeoutMs, {
      onDelivery: (queue, message) => {
        this.#delivered[queue] += 1
        // of a session that ended the broker has everything back
        if (!this.#controller.signal.aborted) dispatcher.accept(queue, message, channel.acknowledger)
      },
      onEnd: (reason) => this.#end(reason),
    })
    this.#channel = channel
    await channel.prepareExchanges(settings.declare)
    for (const plan of queuePlans(service, subscriptions, settings.exclusiveQueues)) {
      this.#queues.push({ plan, name: await channel.prepareQueue(plan, settings.declare) })
    }
    // a broker that blocks publishers does so at the first message: all channels are open by then
    await logChannel.attach(publish, settings.declare)
    await publisher.attach(publish)
    logChannel.release()
  }

  async #consume(): Promise<void> {
    this.#parts.onBegin(this)
    this.#parts.dispatcher.begin(this.#consumeConnection?.silenceMs ?? Infinity)
    this.#isDelivering = true
    const configuration = this.#queues.find(({ plan }) => plan.kind === 'configuration')
    if (configuration !== undefined) await this.#channel?.consume('configuration', configuration.name)
    if (configuration === undefined || this.#parts.isConfigured()) {
      await this.configured()
    } else if (!this.#controller.signal.aborted && this.#gate === 'closed') this.#parts.onUnconfigured(this)
    if (this.#controller.signal.aborted) throw this.#controller.signal.reason
    this.consumingSince = performance.now()
    this.#watchConsumers()
  }

  #watchConsumers(): void {
    const [channel, connection] = [this.#channel, this.#consumeConnection]
    if (channel === undefined || connection === undefined) return
    this.#watch = new ConsumerWatch({
      watched: () => this.#consumed(),
      waitingIn: (queue) => channel.waitingIn(queue),
      bytesRead: () => connection.bytesRead,
      patience: this.#parts.patience,
      onStuck: (problem) => this.#end(new ConnectionError(problem)),
    })
    this.#controller.signal.addEventListener('abort', () => this.#watch?.end(), { once: true })
  }

  #consumed(): readonly Watched[] {
    return this.#queues
      .filter(({ plan: { kind } }) => this.#gate === 'open' || (this.#gate === 'closed' && kind === 'configuration'))
      .map(({ plan: { kind }, name }) => ({
        queue: name,
        delivered: this.#delivered[kind],
        inHand: this.#inHand(kind),
      }))
  }

  #inHand(kind: QueueKind): number {
    let count = 0
    for (const { queue } of this.#parts.dispatcher.open) if (queue === kind) count += 1
    return count
  }

  #abandon(reason: Error): void {
    this.#end(reason)
    this.#consumeConnection?.fail(reason)
    this.#publishConnection?.fail(reason)
  }
}

/** Of the error of a call and the reason why the session ended meanwhile, the one that names the problem. */
function moreTelling(error: unknown, lost: unknown): unknown {
  return lost !== undefined && !(error instanceof TopologyError) ? lost : error
}
