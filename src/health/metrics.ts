/**
 * Metrics for Prometheus, in a registry of their own. Most are read from the workers when somebody asks; only handled messages are
 * counted one by one. Labels are what the author of the service wrote, never what came in. The only import of `prom-client`, which is
 * loaded when it is first used.
 */
import { InvalidSettingError } from '../errors.ts'
import type { DeliveryOutcome } from '../service/delivery.ts'
import type { Handler } from '../service/handlers.ts'
import type { ObservedWorker, WorkerEvents, WorkerFigures } from '../service/observer.ts'
import type { QueueKind } from '../wire/envelope.ts'
import type { Workers } from './report.ts'

type Library = typeof import('prom-client')

/** From a handler that only counts to one that takes as long as it may, in seconds. */
const BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120, 600]
const PREFIX = 'eventail_'

interface Figure {
  /** Without the prefix. */
  readonly name: string
  readonly help: string
  readonly read: (figures: WorkerFigures) => number
}

const GAUGES: readonly Figure[] = [
  { name: 'handlers_running', help: 'Handlers that have not ended.', read: (of) => of.runningHandlers },
  {
    name: 'messages_in_hand',
    help: 'Messages that were delivered and are not settled.',
    read: (of) => of.messagesInHand,
  },
  { name: 'publishes_pending', help: 'Publishes that are not confirmed yet.', read: (of) => of.pendingPublishes },
  {
    name: 'publishers_blocked',
    help: 'Workers that the broker keeps from publishing (memory or disk alarm).',
    read: (of) => Number(of.isBlocked),
  },
]

const COUNTERS: readonly Figure[] = [
  {
    name: 'publishes_confirmed_total',
    help: 'Publishes that the broker has confirmed.',
    read: (of) => of.confirmedPublishes,
  },
  { name: 'reconnects_total', help: 'Connections that were made again.', read: (of) => of.reconnects },
  {
    name: 'log_records_dropped_total',
    help: 'Log records that the broker could not take.',
    read: (of) => of.droppedLogRecords,
  },
]

/** Where the messages of one handler, or of none, are counted: found once. */
type Counting = Readonly<Record<DeliveryOutcome, { inc(): void }>>

export class Metrics {
  readonly #workers: Workers
  /** What each worker had counted when it was last read. */
  readonly #read = new WeakMap<ObservedWorker, WorkerFigures>()
  readonly #library: Library
  readonly #registry
  readonly #ready
  readonly #messages
  readonly #durations
  readonly #failedPublishes
  readonly #gauges
  readonly #counters

  private constructor(library: Library, workers: Workers) {
    this.#workers = workers
    this.#library = library
    this.#registry = new library.Registry()
    const registers = [this.#registry]
    const gauge = (name: string, help: string) =>
      new library.Gauge({ name: PREFIX + name, help, labelNames: ['service'] as const, registers })
    this.#ready = gauge('ready', 'Whether all workers of the service are ready: 1 or 0.')
    this.#gauges = GAUGES.map(({ name, help, read }) => ({ metric: gauge(name, help), read }))
    this.#counters = COUNTERS.map(({ name, help, read }) => ({
      metric: new library.Counter({ name: PREFIX + name, help, labelNames: ['service'] as const, registers }),
      read,
    }))
    this.#failedPublishes = new library.Counter({
      name: `${PREFIX}publishes_failed_total`,
      help: 'Publishes that were rejected, by the code of the error.',
      labelNames: ['service', 'code'] as const,
      registers,
    })
    this.#messages = new library.Counter({
      name: `${PREFIX}messages_total`,
      help: 'Messages by what became of them; without a handler where none takes them, or they break its contract.',
      labelNames: ['service', 'kind', 'handler', 'outcome'] as const,
      registers,
    })
    this.#durations = new library.Histogram({
      name: `${PREFIX}handler_duration_seconds`,
      help: 'How long handlers took.',
      labelNames: ['service', 'kind', 'handler'] as const,
      buckets: BUCKETS,
      registers,
    })
  }

  /** @throws InvalidSettingError when `prom-client` is not installed */
  static async load(workers: Workers): Promise<Metrics> {
    return new Metrics(await library(), workers)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** What is counted here, and what the program has registered in the library's own registry. */
  async text(): Promise<string> {
    this.#readWorkers()
    const { register } = this.#library
    const own = await this.#registry.metrics()
    return register.contentType === this.contentType ? `${own}\n${await register.metrics()}` : own
  }

  watch(worker: ObservedWorker): WorkerEvents {
    const { service } = worker
    const countings = new Map<Handler | QueueKind, Counting>()
    const durations = new Map<Handler, { observe(seconds: number): void }>()
    return {
      settled: (outcome, queue, handler) => {
        const by = handler ?? queue
        const counting = countings.get(by) ?? this.#countingOf(service, queue, handler)
        countings.set(by, counting)
        counting[outcome].inc()
      },
      ran: (handler, ms) => {
        const { kind, key } = handler
        const duration = durations.get(handler) ?? this.#durations.labels({ service, kind, handler: key })
        durations.set(handler, duration)
        duration.observe(ms / 1000)
      },
      // what it counted last is not lost
      stopped: () => this.#count(worker, worker.figures()),
    }
  }

  #countingOf(service: string, queue: QueueKind, handler: Handler | undefined): Counting {
    const labels = { service, kind: handler?.kind ?? queue, handler: handler?.key ?? '' }
    const counter = (outcome: DeliveryOutcome): { inc(): void } => this.#messages.labels({ ...labels, outcome })
    return {
      acknowledged: counter('acknowledged'),
      requeued: counter('requeued'),
      'dead-lettered': counter('dead-lettered'),
      lost: counter('lost'),
    }
  }

  #readWorkers(): void {
    for (const metric of [this.#ready, ...this.#gauges.map(({ metric }) => metric)]) metric.reset()
    const { services } = this.#workers.report()
    for (const { service } of services) this.#ready.set({ service }, 1)
    for (const { service, isReady } of services) if (!isReady) this.#ready.set({ service }, 0)
    for (const worker of this.#workers.running) {
      const { service } = worker
      const figures = worker.figures()
      for (const { metric, read } of this.#gauges) metric.inc({ service }, read(figures))
      this.#count(worker, figures)
    }
  }

  /** Adds what a worker has counted since it was last read. */
  #count(worker: ObservedWorker, figures: WorkerFigures): void {
    const { service } = worker
    const before = this.#read.get(worker)
    this.#read.set(worker, figures)
    for (const { metric, read } of this.#counters)
      metric.inc({ service }, read(figures) - (before === undefined ? 0 : read(before)))
    for (const [code, count] of figures.failedPublishes)
      this.#failedPublishes.inc({ service, code }, count - (before?.failedPublishes.get(code) ?? 0))
  }
}

let loading: Promise<Library> | undefined

/** @throws InvalidSettingError when it is not installed */
async function library(): Promise<Library> {
  loading ??= import('prom-client').catch((error: unknown) => {
    loading = undefined
    throw new InvalidSettingError('metrics', "need the package 'prom-client': npm install prom-client", {
      cause: error,
    })
  })
  return loading
}
