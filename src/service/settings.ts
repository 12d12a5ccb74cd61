/** The settings of a worker: every default, checked before anything is done. */
import { InvalidSettingError } from '../errors.ts'
import {
  checkBoolean,
  checkFunction,
  checkOptions,
  checkTimeout,
  checkWhole,
  describe,
  LONGEST_TIMER_MS,
} from '../options.ts'
import type { LogRecord } from '../log/gelf.ts'
import { LEVELS, type LevelName, type StderrLevel } from '../log/levels.ts'
import { checkClock, type Clock, SYSTEM_CLOCK } from '../time/clock.ts'
import type { Declare } from '../topology/plan.ts'
import { type BrokerTls, checkTls, readTls } from '../transport/broker-tls.ts'
import { type BrokerUrl, parseBrokerUrl, parseBrokerUrls } from '../transport/broker-url.ts'
import type { PublisherSettings } from '../transport/publisher.ts'
import type { OutageBrake } from './brake.ts'
import type { CrashGuardOptions } from './crash-guard.ts'
import type { RetryPolicy } from './failure-policy.ts'
import type { HealthObserver } from './observer.ts'
import type { PayloadFormat } from '../wire/payload.ts'

/** How a service works. All may be given to `defineService`, and again, to override, to `start` or `run`. */
export interface ServiceSettings {
  /**
   * Messages that the broker hands to this worker before it has settled them, for each of its queues; 1 to 65535.
   * @default 3
   */
  readonly prefetch?: number
  /**
   * Handlers that run at the same time; 1 or more. What is prefetched beyond that waits in the worker.
   * @default Infinity: everything that is prefetched
   */
  readonly concurrency?: number
  /**
   * How often a message is tried whose handler fails unexpectedly. `'once'`: once more, unless the broker had delivered it before, for
   * whatever reason. `{ attempts: n }`: n times in all, by counting real failures per message id in each worker, so at most n times the
   * number of workers; messages without an id, as peers in Python send them, as with `'once'`.
   * @default 'once'
   */
  readonly retry?: RetryPolicy
  /** How long a handler may take, in milliseconds, before it has failed; Infinity for ever. @default 600_000 */
  readonly handlerTimeoutMs?: number
  /**
   * Holds a handler's messages back while what it depends on is down: after so many failures in a row they are tried one at a time, ever
   * more slowly, and none is given up. Held messages count for `concurrency` and the prefetch, also of other handlers. Messages that are
   * settled by hand, and batches, are not braked.
   * @default none
   */
  readonly outageBrake?: OutageBrake
  /** Gives up a message that takes its workers down again and again; one without an id is not counted. @default none */
  readonly crashGuard?: CrashGuardOptions
  /** What payloads are encoded as. Both are always understood. @default 'cbor' */
  readonly format?: PayloadFormat
  /**
   * Consume from queues of this worker's own, which vanish with it, instead of the shared durable ones. For tools that
   * watch: messages that come while the worker is away are not kept.
   * @default false
   */
  readonly exclusiveQueues?: boolean
  /**
   * What the worker declares on the broker: `'all'`; `'queues'`, bound to exchanges that an administrator has made; or `'nothing'`, when he
   * has made the shared queues with their bindings as well. What is not declared is only checked to be there (TopologyError), but
   * bindings cannot be. Queues of the worker's own are declared in any case.
   * @default process.env.EVENTAIL_DECLARE, else 'all'
   */
  readonly declare?: Declare
  /**
   * Whether a service with configurations goes on with the one that it had when it connects again, instead of waiting for a new
   * one. Configurations that were published meanwhile are missed: its `onReady` hook may ask.
   * @default false
   */
  readonly keepConfiguration?: boolean
  /**
   * How long after its start the service may be without a broker before it fails: `start` rejects, `run` exits with 69. Once it has
   * worked it reconnects for ever. @default Infinity
   */
  readonly startTimeoutMs?: number
  /**
   * The heartbeat of both connections, in milliseconds (rounded up to seconds; 0 turns it off); the broker may ask for less. A broker
   * that is silent for twice as long is taken to be lost.
   * @default 60_000
   */
  readonly heartbeatMs?: number
  /** How long connecting to one URL, or one answer of the broker, may take, in milliseconds. @default 5_000 */
  readonly connectTimeoutMs?: number
  /**
   * How long the broker may block publishers (memory or disk alarm), in milliseconds. Then what was published outside of handlers
   * rejects, and the worker connects anew: so messages in hand are delivered again.
   * @default 3_600_000
   */
  readonly blockedTimeoutMs?: number
  /** How long after the broker refused a message (nack) it is sent again, in milliseconds. @default 15_000 */
  readonly publishRetryDelayMs?: number
  /** How long a confirm may take, in milliseconds, before the channel is replaced and the message sent again. @default 30_000 */
  readonly confirmTimeoutMs?: number
  /** How long `stop()` waits for handlers and confirms, in milliseconds, before it gives the messages back to the broker. @default 25_000 */
  readonly drainTimeoutMs?: number
  /** Messages on their way to the broker, unconfirmed, at most. @default { messages: 1_000, bytes: 16 MiB } */
  readonly publishWindow?: Partial<PublishLimit>
  /**
   * Messages that wait for the window, or for the broker to come back, at most; beyond that publishes outside of handlers reject. Those
   * of handlers neither count nor reject.
   * @default { messages: 100_000, bytes: 64 MiB }
   */
  readonly publishBuffer?: Partial<PublishLimit>
  /** The largest encoded payload that may be sent, in bytes. @default 16 MiB */
  readonly maxPayloadBytes?: number
}

/** A limit by number and by bytes of payload, whichever is reached first. One message always goes, however large it is. */
export interface PublishLimit {
  /** 1 or more. */
  readonly messages: number
  /** Of encoded payloads; 1 or more. */
  readonly bytes: number
}

/** What `start` and `run` take beside the settings. */
export interface StartOptions extends ServiceSettings {
  /**
   * Brokers to try in turn, for ever: `amqp://user:password@host:5672/vhost`, or `amqps://`.
   * @default [process.env.EVENTAIL_AMQP_URL ?? 'amqp://localhost']
   */
  readonly urls?: readonly string[]
  /**
   * For `amqps://` URLs.
   * @default what the files named by EVENTAIL_TLS_CA, EVENTAIL_TLS_CERT and EVENTAIL_TLS_KEY hold, with EVENTAIL_TLS_SERVERNAME and
   * EVENTAIL_TLS_PASSPHRASE; else the well-known authorities, and no client certificate
   */
  readonly tls?: BrokerTls
  /** Stops the service, or closes the endpoint, when it aborts. @default none */
  readonly signal?: AbortSignal
  /**
   * From which level on log records also go to stderr; while the bus cannot take them, from WARNING on at least. 'UNSENT': only then.
   * 'NONE': none, whatever happens.
   * @default process.env.EVENTAIL_STDERR_LEVEL ?? 'WARNING'; for `run` 'INFO' in the place of 'WARNING'
   */
  readonly stderrLevel?: StderrLevel
  /** Told every log record of this worker, or endpoint. What it throws is ignored. @default none */
  readonly onLog?: (record: LogRecord) => void
  /** Who is told of the health of this worker from its beginning: what `startHealthServer` of `eventail/health` gives. */
  readonly health?: HealthObserver
  /**
   * For tests: the time by which `callLater`, `every`, the time-outs of batches, `publishRetryDelayMs`, the pauses of the outage brake and
   * those of `once` go. What watches over the network and over handlers goes by the system's time always: heartbeats, reconnecting,
   * confirms, `handlerTimeoutMs`, `drainTimeoutMs` and the like.
   * @default the system's time
   */
  readonly clock?: Clock
}

export interface Settings {
  readonly brokers: readonly BrokerUrl[]
  readonly tls: BrokerTls | undefined
  readonly signal: AbortSignal | undefined
  readonly stderrLevel: StderrLevel
  readonly onLog: ((record: LogRecord) => void) | undefined
  readonly health: HealthObserver | undefined
  readonly clock: Clock
  readonly prefetch: number
  readonly concurrency: number
  readonly retry: RetryPolicy
  readonly handlerTimeoutMs: number
  readonly outageBrake: Required<OutageBrake> | undefined
  readonly crashGuard: Required<CrashGuardOptions> | undefined
  readonly format: PayloadFormat
  readonly exclusiveQueues: boolean
  readonly declare: Declare
  readonly keepConfiguration: boolean
  readonly startTimeoutMs: number
  readonly heartbeatMs: number
  readonly connectTimeoutMs: number
  readonly blockedTimeoutMs: number
  readonly publishRetryDelayMs: number
  readonly confirmTimeoutMs: number
  readonly drainTimeoutMs: number
  readonly publishWindow: PublishLimit
  readonly publishBuffer: PublishLimit
  readonly maxPayloadBytes: number
}

const MIB = 1024 * 1024
/** The names of the settings that concern connections and publishing: endpoints have them too. */
export const BUS_SETTING_NAMES = [
  'format',
  'declare',
  'heartbeatMs',
  'connectTimeoutMs',
  'blockedTimeoutMs',
  'publishRetryDelayMs',
  'confirmTimeoutMs',
  'drainTimeoutMs',
  'publishWindow',
  'publishBuffer',
  'maxPayloadBytes',
] as const satisfies readonly (keyof ServiceSettings)[]
/** The names of all settings. */
export const SETTING_NAMES: readonly (keyof ServiceSettings)[] = [
  'prefetch',
  'concurrency',
  'retry',
  'handlerTimeoutMs',
  'outageBrake',
  'crashGuard',
  'exclusiveQueues',
  'keepConfiguration',
  'startTimeoutMs',
  ...BUS_SETTING_NAMES,
]
type StartName = Exclude<keyof StartOptions, keyof ServiceSettings>
/** The names of those of them that endpoints have too. */
export const BUS_START_NAMES = [
  'urls',
  'tls',
  'signal',
  'stderrLevel',
  'onLog',
  'clock',
] as const satisfies readonly StartName[]
/** The names of what only `start` and `run` take. */
export const START_NAMES: readonly StartName[] = [...BUS_START_NAMES, 'health']

/** @throws InvalidSettingError that names the setting */
export function resolveSettings(options: StartOptions): Settings {
  checkOptions('options', options, [...START_NAMES, ...SETTING_NAMES])
  const { tls, signal, onLog, health, clock = SYSTEM_CLOCK, exclusiveQueues = false, concurrency = Infinity } = options
  if (tls !== undefined) checkTls(tls)
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new InvalidSettingError('signal', `must be an AbortSignal, not ${describe(signal)}`)
  if (onLog !== undefined) checkFunction('onLog', onLog)
  checkClock(clock)
  checkBoolean('exclusiveQueues', exclusiveQueues)
  const { keepConfiguration = false, startTimeoutMs = Infinity } = options
  checkBoolean('keepConfiguration', keepConfiguration)
  checkTimeout('startTimeoutMs', startTimeoutMs)
  const ms = (name: keyof ServiceSettings, fallback: number, least = 1): number => {
    return checkWhole(name, options[name] ?? fallback, least, LONGEST_TIMER_MS)
  }
  return {
    brokers: options.urls === undefined ? [defaultBroker()] : parseBrokerUrls(options.urls),
    tls: tls ?? readTls(),
    signal,
    stderrLevel: stderrLevelOf(options.stderrLevel, 'WARNING'),
    onLog,
    health: health === undefined ? undefined : observerOf(health),
    clock,
    prefetch: checkWhole('prefetch', options.prefetch ?? 3, 1, 65_535),
    concurrency: concurrency === Infinity ? concurrency : checkWhole('concurrency', concurrency, 1),
    retry: retryOf(options.retry ?? 'once'),
    handlerTimeoutMs: timeoutOf(options.handlerTimeoutMs ?? 600_000),
    outageBrake: options.outageBrake === undefined ? undefined : brakeOf(options.outageBrake),
    crashGuard: options.crashGuard === undefined ? undefined : guardOf(options.crashGuard),
    format: oneOf('format', options.format ?? 'cbor', ['cbor', 'json']),
    exclusiveQueues,
    declare: declareOf(options.declare),
    keepConfiguration,
    startTimeoutMs,
    heartbeatMs: ms('heartbeatMs', 60_000, 0),
    connectTimeoutMs: ms('connectTimeoutMs', 5_000),
    blockedTimeoutMs: ms('blockedTimeoutMs', 3_600_000),
    publishRetryDelayMs: ms('publishRetryDelayMs', 15_000, 0),
    confirmTimeoutMs: ms('confirmTimeoutMs', 30_000),
    drainTimeoutMs: ms('drainTimeoutMs', 25_000, 0),
    publishWindow: limit('publishWindow', options.publishWindow, { messages: 1_000, bytes: 16 * MIB }),
    publishBuffer: limit('publishBuffer', options.publishBuffer, { messages: 100_000, bytes: 64 * MIB }),
    maxPayloadBytes: checkWhole('maxPayloadBytes', options.maxPayloadBytes ?? 16 * MIB, 1),
  }
}

/** What the publisher takes of them. */
export function publisherSettingsOf(settings: Settings): PublisherSettings {
  const { publishWindow, publishBuffer, publishRetryDelayMs, confirmTimeoutMs, blockedTimeoutMs, clock } = settings
  return {
    window: publishWindow,
    buffer: publishBuffer,
    retryDelayMs: publishRetryDelayMs,
    confirmTimeoutMs,
    blockedTimeoutMs,
    clock,
  }
}

function retryOf(retry: RetryPolicy): RetryPolicy {
  if (retry === 'once') return retry
  checkOptions('retry', retry, ['attempts'])
  return { attempts: checkWhole('retry.attempts', retry.attempts, 1) }
}

function timeoutOf(ms: number): number {
  checkTimeout('handlerTimeoutMs', ms)
  return ms
}

function brakeOf(brake: OutageBrake): Required<OutageBrake> {
  checkOptions('outageBrake', brake, ['afterFailures', 'maxDelayMs'])
  const { afterFailures = 10, maxDelayMs = 30_000 } = brake
  return {
    afterFailures: checkWhole('outageBrake.afterFailures', afterFailures, 1),
    maxDelayMs: checkWhole('outageBrake.maxDelayMs', maxDelayMs, 1, LONGEST_TIMER_MS),
  }
}

function guardOf(guard: CrashGuardOptions): Required<CrashGuardOptions> {
  checkOptions('crashGuard', guard, ['store', 'maxRedeliveries'])
  const { store, maxRedeliveries = 5 } = guard
  if (typeof store !== 'object' || store === null || typeof store.peek !== 'function')
    throw new InvalidSettingError('crashGuard.store', `must be a store of eventail/store, not ${describe(store)}`)
  return { store, maxRedeliveries: checkWhole('crashGuard.maxRedeliveries', maxRedeliveries, 1) }
}

function observerOf(health: HealthObserver): HealthObserver {
  if (typeof health === 'object' && health !== null && typeof health.watch === 'function') return health
  const given = (health as unknown) instanceof Promise ? 'a promise: await it' : describe(health)
  throw new InvalidSettingError('health', `must be what startHealthServer() of eventail/health gives, not ${given}`)
}

function declareOf(given: Declare | undefined): Declare {
  const allowed = ['all', 'queues', 'nothing'] as const
  if (given !== undefined) return oneOf('declare', given, allowed)
  return oneOf<Declare>('EVENTAIL_DECLARE', (process.env['EVENTAIL_DECLARE'] || 'all') as Declare, allowed)
}

/** What was given, else what the environment says, else the fallback. @throws InvalidSettingError */
export function stderrLevelOf(given: StderrLevel | undefined, fallback: LevelName): StderrLevel {
  const allowed = [...LEVELS, 'UNSENT', 'NONE'] as const
  if (given !== undefined) return oneOf('stderrLevel', given, allowed)
  const inEnvironment = (process.env['EVENTAIL_STDERR_LEVEL'] || fallback) as StderrLevel
  return oneOf('EVENTAIL_STDERR_LEVEL', inEnvironment, allowed)
}

function defaultBroker(): BrokerUrl {
  return parseBrokerUrl(process.env['EVENTAIL_AMQP_URL'] || 'amqp://localhost', 'EVENTAIL_AMQP_URL')
}

function limit(name: string, given: Partial<PublishLimit> = {}, fallback: PublishLimit): PublishLimit {
  checkOptions(name, given, ['messages', 'bytes'])
  const value = { ...fallback, ...given }
  return {
    messages: checkWhole(`${name}.messages`, value.messages, 1),
    bytes: checkWhole(`${name}.bytes`, value.bytes, 1),
  }
}

function oneOf<T extends string>(name: string, value: T, allowed: readonly T[]): T {
  if (allowed.includes(value)) return value
  throw new InvalidSettingError(name, `must be one of ${allowed.join(', ')}, not ${describe(value)}`)
}
