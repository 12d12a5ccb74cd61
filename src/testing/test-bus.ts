/**
 * `startBus`: a bus for the tests of services, with any test runner. Services run on it as they are, on a broker in this process or on a
 * RabbitMQ, and a test publishes, waits until everything has settled, looks at what was said, and lets time pass.
 */
import { AccessRefusedError, StoppedError } from '../errors.ts'
import type { Call } from '../endpoint/endpoint.ts'
import { Endpoint } from '../endpoint/endpoint.ts'
import { checkOptions, checkTimerMs, checkWhole, checkWholeMs } from '../options.ts'
import type { LogRecord } from '../log/gelf.ts'
import { type LevelName, levelNumber } from '../log/levels.ts'
import type { Log } from '../log/logger.ts'
import type { Publish, PublishConfiguration, SendCommand } from '../service/contexts.ts'
import type { RunningService } from '../service/running-service.ts'
import type { StartOptions } from '../service/settings.ts'
import { createMemoryStore } from '../store/memory-store.ts'
import type { TempStore } from '../store/temp-store.ts'
import type { Clock } from '../time/clock.ts'
import { checkPattern } from '../topology/names.ts'
import { type BusMessage, type DeadLetter, FILTER_NAMES, fits, type MessageFilter } from './bus-message.ts'
import { startDevelopmentBroker } from './development-broker.ts'
import { FaultPlan, type Faults, noFaults } from './faults.ts'
import { ofOtherBroker, useRabbitmq } from './rabbitmq.ts'
import { Recorder } from './recorder.ts'
import { Settling } from './settling.ts'
import type { TestBroker } from './test-broker.ts'
import { TestClock } from './test-clock.ts'
import { Workers } from './workers.ts'

/** How a bus of tests is. */
export interface BusOptions {
  /**
   * A RabbitMQ to use in the place of the broker in this process. The bus gets a virtual host of its own there.
   * @default process.env.EVENTAIL_TEST_URL, else the broker in this process
   */
  readonly url?: string
  /** Of the management API of that RabbitMQ. @default process.env.EVENTAIL_MANAGEMENT_URL, else port 15672 of its host */
  readonly managementUrl?: string
  /** What chance is made of, for faults with a probability. @default process.env.EVENTAIL_TEST_SEED, else a new one */
  readonly seed?: number
  /** In whose name the bus itself publishes: the `source` of those messages. @default 'test' */
  readonly name?: string
}

/** Which log records; all conditions have to hold. */
export interface LogFilter {
  /** @default any */
  readonly service?: string
  /** This level, and those that are more severe. @default 'DEBUG': all */
  readonly level?: LevelName
  /** @default any */
  readonly conversationId?: string
}

/** What can be started: what `defineService` makes, or an object of a class that extends `Service`. */
export interface StartableService {
  readonly start: (options?: StartOptions) => Promise<RunningService>
}

/** How a service is started on a bus of tests: as anywhere else, but for what the bus gives it. */
export type BusStartOptions = Omit<StartOptions, 'urls' | 'tls' | 'clock'>

/** A bus for tests. */
export interface TestBus extends AsyncDisposable {
  /** Of the broker, for other clients. */
  readonly url: string
  readonly broker: 'development' | 'rabbitmq'
  /** Give it as EVENTAIL_TEST_SEED to have the same faults again. */
  readonly seed: number
  /** The time that {@link advance} drives; services that are started here have it. */
  readonly clock: Clock
  /** A store for services, in memory, by the same time. */
  readonly store: TempStore
  /**
   * Starts a service on this bus. It is stopped when the bus is closed.
   * @param options `stderrLevel` is 'NONE' here unless it is given, and `drainTimeoutMs` 1_000
   * @returns as of `start` of the service, with the same errors
   */
  readonly start: (service: StartableService, options?: BusStartOptions) => Promise<RunningService>
  /** Publishes an event, as an endpoint does. */
  readonly publish: Publish
  /** Publishes a configuration, as an endpoint does. */
  readonly publishConfiguration: PublishConfiguration
  /** Sends a command, as an endpoint does; its result is for whoever handles `replyTo`. */
  readonly sendCommand: SendCommand
  /** Sends a command and waits for its result, as an endpoint does. */
  readonly call: Call
  /** Writes log records, as an endpoint does. */
  readonly log: Log
  /**
   * Waits until nothing more happens, unless time passes or somebody publishes: every message is handled, acknowledged or dead, and
   * everything that was published for it is confirmed. What waits for time to pass waits on: timers, batches that are not full, what the
   * broker refused and is sent again later, and messages that the outage brake holds back.
   * @param options timeoutMs is by the system's time. @default 4_000
   * @throws NotSettledError that names what is still going on; StoppedError when the bus is closed
   */
  readonly settled: (options?: { readonly timeoutMs?: number }) => Promise<void>
  /**
   * Lets so many milliseconds pass for the services, and calls the timers that become due, each at its time. Before, between and after them
   * it waits as {@link settled} does; for a handler that goes on while timers wait, 100 ms at most each time.
   * @throws NotSettledError; StoppedError when the bus is closed
   */
  readonly advance: (ms: number) => Promise<void>
  /** What the broker took so far, in its order: events, commands, results and configurations. */
  readonly published: (filter?: MessageFilter) => readonly BusMessage[]
  /** What the services on this bus, and the bus itself, wrote to their logs so far. */
  readonly logs: (filter?: LogFilter) => readonly LogRecord[]
  /** The messages that died so far. */
  readonly deadLetters: (filter?: MessageFilter) => readonly DeadLetter[]
  /** What can go wrong; on a RabbitMQ each throws. */
  readonly faults: Faults
  /** Stops the services and the broker. May be called again at any time; never rejects. */
  readonly close: () => Promise<void>
}

const SETTLE_TIMEOUT_MS = 4_000
/** How long a handler is waited for that may be waiting for a timer. */
const PATIENCE_MS = 100
const DRAIN_MS = 1_000

/**
 * Starts a bus for tests.
 * @throws InvalidSettingError; of a RabbitMQ, ManagementError, ConnectionError, AccessRefusedError
 */
export async function startBus(options: BusOptions = {}): Promise<TestBus> {
  checkOptions('options', options, ['url', 'managementUrl', 'seed', 'name'])
  const seed = seedOf(options.seed)
  const clock = new TestClock(Date.now())
  const url = options.url ?? (process.env['EVENTAIL_TEST_URL'] || undefined)
  const managementUrl = options.managementUrl ?? (process.env['EVENTAIL_MANAGEMENT_URL'] || undefined)
  const name = options.name ?? 'test'
  const plan = new FaultPlan(seed)
  const broker = await (url === undefined ? startDevelopmentBroker(clock, plan, name) : useRabbitmq(url, managementUrl))
  try {
    const recorder = await Recorder.open(broker)
    const faults = url === undefined ? plan.faults : noFaults()
    return new RunningBus({ broker, recorder, clock, seed, name, faults })
  } catch (error) {
    await broker.close()
    throw broker.kind === 'rabbitmq' && error instanceof AccessRefusedError ? ofOtherBroker(error) : error
  }
}

function seedOf(given: number | undefined): number {
  const text = process.env['EVENTAIL_TEST_SEED'] || undefined
  if (given !== undefined) return checkWhole('seed', given, 0)
  if (text !== undefined) return checkWhole('EVENTAIL_TEST_SEED', Number(text), 0)
  return Math.floor(Math.random() * 2 ** 31)
}

interface BusParts {
  readonly broker: TestBroker
  readonly recorder: Recorder
  readonly clock: TestClock
  readonly seed: number
  readonly name: string
  readonly faults: Faults
}

class RunningBus implements TestBus {
  readonly url: string
  readonly broker: TestBroker['kind']
  readonly seed: number
  readonly clock: Clock
  readonly store: TempStore
  readonly faults: Faults
  readonly publish: Publish
  readonly publishConfiguration: PublishConfiguration
  readonly sendCommand: SendCommand
  readonly call: Call
  readonly log: Log
  readonly #parts: BusParts
  readonly #endpoint: Endpoint
  readonly #workers = new Workers()
  readonly #settling: Settling
  readonly #records: LogRecord[] = []
  readonly #closing = new AbortController()
  readonly #running = new Set<RunningService>()
  #advancing: Promise<void> = Promise.resolve()
  #closed: Promise<void> | undefined

  constructor(parts: BusParts) {
    const { broker, clock, seed, name, faults } = parts
    this.#parts = parts
    this.url = broker.url
    this.broker = broker.kind
    this.seed = seed
    this.clock = clock
    this.faults = faults
    this.store = createMemoryStore({ namespace: 'test:', clock })
    this.#endpoint = new Endpoint({
      name,
      urls: [broker.url],
      clock,
      stderrLevel: 'NONE',
      drainTimeoutMs: DRAIN_MS,
      onLog: this.#onLog,
    })
    const { publish, publishConfiguration, sendCommand, call, log } = this.#endpoint
    this.publish = publish
    this.publishConfiguration = publishConfiguration
    this.sendCommand = sendCommand
    this.call = call
    this.log = log
    this.#settling = new Settling({
      workers: this.#workers,
      clock,
      seed,
      pendingPublishes: () => this.#endpoint.pendingPublishes,
      brokerActivity: () => broker.activity(),
      release: () => broker.release(),
    })
  }

  readonly start = async (service: StartableService, options: BusStartOptions = {}): Promise<RunningService> => {
    const { health, onLog, signal, ...others } = options
    const running = await service.start({
      stderrLevel: 'NONE',
      drainTimeoutMs: DRAIN_MS,
      ...others,
      urls: [this.url],
      clock: this.clock,
      signal: AbortSignal.any([this.#closing.signal, ...(signal === undefined ? [] : [signal])]),
      health: this.#workers.observer(health),
      onLog: (record) => {
        this.#onLog(record)
        onLog?.(record)
      },
    })
    this.#running.add(running)
    return running
  }

  readonly settled = async ({ timeoutMs = SETTLE_TIMEOUT_MS } = {}): Promise<void> => {
    checkTimerMs('timeoutMs', timeoutMs)
    this.#checkOpen()
    await this.#settling.settle(timeoutMs)
    await this.#parts.recorder.catchUp()
  }

  readonly advance = async (ms: number): Promise<void> => {
    checkWholeMs('advance', ms, 0)
    this.#checkOpen()
    const advanced = this.#advancing.then(() => this.#advance(ms))
    this.#advancing = advanced.catch(() => {})
    await advanced
  }

  readonly published = (filter: MessageFilter = {}): readonly BusMessage[] => {
    checkFilter('published', filter)
    return this.#parts.recorder.published.filter((message) => fits(message, filter))
  }

  readonly deadLetters = (filter: MessageFilter = {}): readonly DeadLetter[] => {
    checkFilter('deadLetters', filter)
    return this.#parts.recorder.deadLetters.filter((message) => fits(message, filter))
  }

  readonly logs = (filter: LogFilter = {}): readonly LogRecord[] => {
    checkOptions('logs', filter, ['service', 'level', 'conversationId'])
    const { service, level = 'DEBUG', conversationId } = filter
    return this.#records.filter(
      (record) =>
        (service === undefined || record.service === service) &&
        (conversationId === undefined || record.conversationId === conversationId) &&
        levelNumber(record.level) <= levelNumber(level),
    )
  }

  readonly close = (): Promise<void> => {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #checkOpen(): void {
    if (this.#closed !== undefined)
      throw new StoppedError(
        'the bus is closed: await settled() and advance() before it is, and look at what was said whenever',
      )
  }

  readonly #onLog = (record: LogRecord): void => {
    this.#records.push(record)
  }

  async #advance(ms: number): Promise<void> {
    const { clock, recorder } = this.#parts
    const until = clock.now() + ms
    await this.#settling.settle(SETTLE_TIMEOUT_MS, PATIENCE_MS)
    while (clock.goOn(until)) await this.#settling.settleAfterTimer(SETTLE_TIMEOUT_MS, PATIENCE_MS)
    await recorder.catchUp()
  }

  async #close(): Promise<void> {
    this.#closing.abort()
    await Promise.all([...this.#running].map(({ stopped }) => stopped))
    await this.#endpoint.close()
    await Promise.allSettled([this.#parts.recorder.close(), this.store.close()])
    await this.#parts.broker.close().catch(() => {})
  }
}

function checkFilter(name: string, filter: MessageFilter): void {
  checkOptions(name, filter, FILTER_NAMES)
  if (filter.routingKey !== undefined) checkPattern('routingKey', filter.routingKey)
}
