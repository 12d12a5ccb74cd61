/**
 * `SyncEndpoint`: publishing for code that cannot await. Each call blocks its thread until the broker has confirmed, or
 * throws, within a time limit in any case.
 *
 * The connection lives in a thread of its own, which does not keep the process alive. When the time of a call is up that thread
 * is given up, and the next call begins with a new one.
 */
import { extname } from 'node:path'
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { ConfigurationContract, EventContract, InputOf, OptionalSchema } from '../contracts/contract.ts'
import {
  BlockedTimeoutError,
  ConnectionError,
  InvalidSettingError,
  PublishBufferFullError,
  PublishRefusedError,
  PublishTimeoutError,
  StoppedError,
  UnroutableError,
} from '../errors.ts'
import { type Log, Logger } from '../log/logger.ts'
import { checkTimerMs } from '../options.ts'
import type { PublishOptions } from '../service/contexts.ts'
import { Messenger } from '../service/messenger.ts'
import type { OutgoingMessage } from '../wire/message.ts'
import { type EndpointOptions, resolveEndpoint } from './endpoint.ts'

/** Options as for {@link Endpoint}, but for those that a thread which blocks has no use for. */
export interface SyncEndpointOptions extends Omit<EndpointOptions, (typeof UNUSED_NAMES)[number]> {
  /** How long a publish, or closing, may block, in milliseconds. @default 30_000 */
  readonly timeoutMs?: number
}

/** @internal What the other thread is told. */
export type Order =
  | { readonly kind: 'publish'; readonly id: number; readonly message: OutgoingMessage }
  | { readonly kind: 'log'; readonly message: OutgoingMessage }
  | { readonly kind: 'close'; readonly id: number }

/** @internal Why something was not done. */
export interface Failure {
  readonly code: string
  readonly text: string
}

/** @internal What the other thread begins with. */
export interface SyncWorkerData {
  readonly options: EndpointOptions
  readonly port: MessagePort
  /** Set to 1, with a notification, when an order was obeyed. */
  readonly flag: Int32Array
}

/** Where the other thread is: it, the way to it, and the flag on which it is waited for. */
interface Other {
  readonly worker: Worker
  readonly port: MessagePort
  readonly flag: Int32Array
}

/** `timeoutMs` is for closing as well; nobody could be told anything while the thread blocks. */
const UNUSED_NAMES = ['signal', 'onLog', 'clock', 'drainTimeoutMs'] as const
/** A time within the time of the call, so that the thread can close by itself. */
const CLOSE_SHARE = 0.8

/** Publishes and logs from code that cannot await: each publish blocks its thread until the broker has confirmed. */
export class SyncEndpoint implements Disposable {
  /** In whose name messages are sent and logs are written. */
  readonly name: string
  /** Writes log records to the bus. These calls do not block: {@link close} waits until the records are on their way. */
  readonly log: Log
  readonly #options: EndpointOptions
  readonly #timeoutMs: number
  readonly #messenger: Messenger
  #other: Other | undefined
  #lastId = 0
  #isClosed = false

  /** Connects only when it is used. @throws InvalidSettingError */
  constructor(options: SyncEndpointOptions) {
    const { timeoutMs = 30_000, ...others } = options
    checkTimerMs('timeoutMs', timeoutMs)
    for (const name of UNUSED_NAMES) {
      if (Object.hasOwn(others, name))
        throw new InvalidSettingError(name, 'a SyncEndpoint does not take it; an Endpoint does')
    }
    const { name, settings } = resolveEndpoint(others)
    this.name = name
    this.#timeoutMs = timeoutMs
    this.#options = { ...others, drainTimeoutMs: Math.max(1, Math.floor(timeoutMs * CLOSE_SHARE)) }
    this.#messenger = new Messenger(name, settings, {
      publish: () => Promise.reject(new StoppedError('a blocking endpoint sends by itself')),
    })
    const sink = { publish: (message: OutgoingMessage) => this.#tell({ kind: 'log', message }), isOpen: true }
    const logger = new Logger({ service: name, sink, stderrLevel: settings.stderrLevel, onRecord: undefined })
    this.log = logger.bound('')
  }

  /**
   * Publishes an event by name, and returns when the broker has confirmed it.
   * @throws ContractError, PayloadEncodeError or InvalidSettingError before anything is sent; PublishError (PublishTimeoutError
   * when its time is up), ConnectionError after `maxRetries`, or StoppedError
   */
  publish(event: string, payload: unknown, options?: PublishOptions): void
  /** Publishes the event of a contract, whose schema must be synchronous (else InvalidSettingError). @throws as by name */
  publish<S extends OptionalSchema>(event: EventContract<S>, payload: InputOf<S>, options?: PublishOptions): void
  publish(event: EventContract | string, payload: unknown, options?: PublishOptions): void {
    this.#send(this.#messenger.compose('event', event, payload, options))
  }

  /** Publishes a configuration by name, and returns when the broker has confirmed it. @throws as {@link publish} */
  publishConfiguration(configuration: string, payload: unknown, options?: PublishOptions): void
  /** Publishes the configuration of a contract, whose schema must be synchronous. @throws as {@link publish} */
  publishConfiguration<S extends OptionalSchema>(
    configuration: ConfigurationContract<S>,
    payload: InputOf<S>,
    options?: PublishOptions,
  ): void
  publishConfiguration(
    configuration: ConfigurationContract | string,
    payload: unknown,
    options?: PublishOptions,
  ): void {
    this.#send(this.#messenger.compose('configuration', configuration, payload, options))
  }

  /** Disconnects, within `timeoutMs`; logs are on their way then. A process may as well exit without it. Never throws. */
  close(): void {
    const isConnected = this.#other !== undefined && !this.#isClosed
    this.#isClosed = true
    if (!isConnected) return
    const id = this.#nextId()
    this.#tell({ kind: 'close', id })
    this.#wait(id)
    this.#abandon()
  }

  /** The same as {@link close}. */
  [Symbol.dispose](): void {
    this.close()
  }

  #send(message: OutgoingMessage): void {
    const { exchange, routingKey } = message
    if (this.#isClosed) throw new StoppedError(`endpoint '${this.name}' is closed: it publishes nothing any more`)
    const id = this.#nextId()
    this.#tell({ kind: 'publish', id, message })
    const outcome = this.#wait(id)
    if (outcome === 'late') {
      this.#abandon()
      throw new PublishTimeoutError(
        exchange,
        routingKey,
        `was not confirmed within ${this.#timeoutMs} ms; the broker may have it or not`,
      )
    }
    if (outcome !== undefined) throw errorOf(outcome, message)
  }

  #nextId(): number {
    this.#lastId += 1
    return this.#lastId
  }

  #tell(order: Order): void {
    if (this.#isClosed && order.kind === 'log') return
    this.#other ??= this.#start()
    Atomics.store(this.#other.flag, 0, 0)
    this.#other.port.postMessage(order)
  }

  /** Blocks until the order was obeyed. @returns why it was not, 'late' when time is up, undefined when all is well */
  #wait(id: number): Failure | 'late' | undefined {
    const other = this.#other
    if (other === undefined) return 'late'
    const deadline = performance.now() + this.#timeoutMs
    for (;;) {
      const received = receiveMessageOnPort(other.port)
      if (received?.message.id === id) return received.message.failure
      if (received !== undefined) continue
      const left = deadline - performance.now()
      if (left <= 0) return 'late'
      Atomics.wait(other.flag, 0, 0, left)
      // looked at again below: the report was posted before the flag was set
      Atomics.store(other.flag, 0, 0)
    }
  }

  #start(): Other {
    const { port1: port, port2 } = new MessageChannel()
    const flag = new Int32Array(new SharedArrayBuffer(4))
    const data: SyncWorkerData = { options: this.#options, port: port2, flag }
    // without the loaders of this thread, which would wait for it
    const worker = new Worker(threadFile(), { workerData: data, transferList: [port2], execArgv: [] })
    const other = { worker, port, flag }
    // one that was killed or crashed is not told anything any more
    worker.on('error', () => this.#forget(other))
    worker.on('exit', () => this.#forget(other))
    worker.unref()
    port.unref()
    return other
  }

  #forget(other: Other): void {
    if (this.#other === other) this.#other = undefined
  }

  #abandon(): void {
    const other = this.#other
    this.#other = undefined
    other?.port.close()
    void other?.worker.terminate()
  }
}

/** Where the code of the other thread is: of the package as built, beside the file that this has become a part of. Run from source, it loads that by itself: workers know no TypeScript. */
function threadFile(): URL {
  if (extname(import.meta.url) === '.js') return new URL('./sync-worker.js', import.meta.url)
  const source = new URL('./sync-worker.ts', import.meta.url).href
  const loader = import.meta.resolve('tsx/esm/api')
  const script = `import { tsImport } from '${loader}'; await tsImport('${source}', '${import.meta.url}')`
  return new URL(`data:text/javascript,${encodeURIComponent(script)}`)
}

function errorOf({ code, text }: Failure, { exchange, routingKey }: OutgoingMessage): Error {
  switch (code) {
    case 'UNROUTABLE':
      return new UnroutableError(exchange, routingKey, text)
    case 'PUBLISH_BUFFER_FULL':
      return new PublishBufferFullError(exchange, routingKey, text)
    case 'BLOCKED_TIMEOUT':
      return new BlockedTimeoutError(exchange, routingKey, text)
    case 'PUBLISH_REFUSED':
      return new PublishRefusedError(exchange, routingKey, text)
    case 'STOPPED':
      return new StoppedError(text)
    default:
      return new ConnectionError(text)
  }
}
