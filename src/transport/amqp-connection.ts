/**
 * One connection to a broker: the AMQP library, with what it lacks added.
 *
 * Adds: a connect time-out that leaves no socket behind, no Nagle delay, one socket write per event-loop turn where there is much to send, heartbeats
 * both ways judged by what really arrived, malformed frames that end the connection instead of the process, and errors
 * that say what to do without a password in them. This and its neighbours in `transport` alone import the library.
 */
import { AMQPClient, AMQPError, type AMQPChannel } from '@cloudamqp/amqp-client'
import { AccessRefusedError, ConnectionError, EventailError, StoppedError } from '../errors.ts'
import { type BrokerTls, connectionOptionsOf, tlsProblem } from './broker-tls.ts'
import type { BrokerUrl } from './broker-url.ts'
import { readProperties } from './read-properties.ts'

export interface ConnectionSettings {
  /** Shown in the broker's list of connections. */
  readonly name: string
  readonly connectTimeoutMs: number
  readonly heartbeatMs: number
  readonly tls?: BrokerTls | undefined
  /** Whether messages come with their headers as they travelled, beside those that were read. @default false */
  readonly keepRawHeaders?: boolean
}

/** The largest frame that we accept. The broker negotiates less (128 KiB by default), and may exceed that for headers. */
const FRAME_MAX = 262_144

/** A connection that has shown no sign of life for this many half heartbeats is dead. */
const SILENT_BEATS = 4

/** The type of the frames that hold the properties of a message, in their first byte. */
const CONTENT_HEADER = 2
/** The beginning of a method frame is its type (1), channel, size, class and method; of basic.nack, the flags follow the delivery tag. */
const NACK = { classId: 60, methodId: 120, classAt: 7, methodAt: 9, flagsAt: 19, multiple: 1 }
/** What a turn sends in which one message was received and another is sent: an acknowledgement, and the message. */
const FEW_SENDS = 2
const KEEP_ALIVE_MS = 60_000
const HEARTBEAT_FRAME = Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 0xce)
const SENT = Promise.resolve()

/** A frame as the library reads it. */
type LibraryView = DataView & { getProperties: PropertiesReader }
/** Reads what begins there in its frame. @returns the properties, and how many bytes they take */
type PropertiesReader = (this: DataView, start: number) => [properties: object, bytes: number]

const readOnly: PropertiesReader = function (start) {
  const bytes = propertyBytes(this, start)
  return [readProperties(bytes), bytes.length]
}
const readRawAsWell: PropertiesReader = function (start) {
  const bytes = propertyBytes(this, start)
  return [readProperties(bytes, true), bytes.length]
}

export class AmqpConnection extends AMQPClient {
  readonly broker: BrokerUrl
  /** Settles, without ever rejecting, when the connection is gone: with the reason, or undefined after {@link shutDown}. */
  readonly lost: Promise<Error | undefined>
  readonly #settings: ConnectionSettings
  #reportLost: (reason: Error | undefined) => void = () => {}
  #failure: Error | undefined
  readonly #readProperties: PropertiesReader
  #heart: NodeJS.Timeout | undefined
  #isCorked = false
  /** How often something was sent in this turn of the event loop. */
  #sends = 0
  /** Whether more was sent in the last turn in which anything was than one that waits for an answer sends. */
  #isBusy = false

  constructor(broker: BrokerUrl, settings: ConnectionSettings) {
    super(libraryUrl(broker, settings), broker.tls ? connectionOptionsOf(settings.tls) : undefined)
    // keys are in no dump of this object
    Object.defineProperty(this, 'tlsOptions', { enumerable: false })
    this.broker = broker
    this.#settings = settings
    this.#readProperties = settings.keepRawHeaders === true ? readRawAsWell : readOnly
    this.lost = new Promise((resolve) => {
      this.#reportLost = (reason) => resolve(reason === undefined ? undefined : explainLoss(reason, broker))
    })
    // the library reports a loss in several ways, and logs when nobody listens: `lost` is the only one that we use
    this.onerror = (error) => {
      this.#failure ??= error
    }
  }

  /**
   * Opens a connection.
   * @throws ConnectionError (AccessRefusedError when user, password or virtual host are refused), StoppedError when
   * `signal` aborts meanwhile
   */
  static async open(broker: BrokerUrl, settings: ConnectionSettings, signal: AbortSignal): Promise<AmqpConnection> {
    if (signal.aborted) throw new StoppedError(`stopped before connecting to ${broker.shown}`)
    const connection = new AmqpConnection(broker, settings)
    // the IPv6 brackets of a URL are not part of the address
    Object.defineProperty(connection, 'host', { value: broker.host })
    try {
      await connection.#connectWithin(settings.connectTimeoutMs, signal)
    } catch (error) {
      connection.destroy()
      throw signal.aborted ? new StoppedError(`stopped while connecting to ${broker.shown}`) : explain(error, broker)
    }
    connection.#startHeart()
    return connection
  }

  async #connectWithin(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const connected = this.connect()
    const { socket } = this
    if (socket === undefined) throw new ConnectionError('the client library made no socket')
    socket.setNoDelay(true)
    // where the broker wants no heartbeats, a dead line is at least found by the system
    socket.setKeepAlive(true, this.#settings.heartbeatMs || KEEP_ALIVE_MS)
    this.#guardReads()
    // Once connected, a lost socket is reported by 'close' alone: the library's own order of events varies.
    socket.once('close', () => this.#onClosed())
    let abandon: (error: Error) => void = () => {}
    const abandoned = new Promise<never>((_, reject) => {
      abandon = reject
    })
    const timer = setTimeout(
      () => abandon(new Error(`no answer within ${timeoutMs} ms; is it an AMQP port?`)),
      timeoutMs,
    )
    const onAbort = (): void => abandon(new Error('aborted'))
    const onClose = (): void => abandon(this.#failure ?? new Error('the broker closed the connection'))
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('close', onClose)
    connected.catch(() => {})
    try {
      await Promise.race([connected, abandoned])
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      socket.removeListener('close', onClose)
    }
    // our own watch replaces the library's, which takes our own writes for a sign of the broker's life
    socket.setTimeout(0)
    socket.removeAllListeners('timeout')
  }

  /** An exception while reading would end the process: it ends this connection instead. */
  #guardReads(): void {
    const { socket } = this
    if (socket === undefined) return
    const readers = socket.listeners('data') as ((chunk: Buffer) => void)[]
    socket.removeAllListeners('data')
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const read of readers) read(chunk)
      } catch (error) {
        this.fail(new ConnectionError(`the broker sent what cannot be read: ${String(error)}`, { cause: plain(error) }))
      }
    })
  }

  /**
   * Called by the library for each frame. The properties of messages are read by our own reader. Of the flags of a nack the
   * library takes `multiple` only where it stands alone; RabbitMQ sets `requeue` as well, which means nothing to a publisher.
   */
  protected override parseFrames(view: DataView): void {
    if (isNack(view)) view.setUint8(NACK.flagsAt, view.getUint8(NACK.flagsAt) & NACK.multiple)
    else if (view.getUint8(0) === CONTENT_HEADER) (view as LibraryView).getProperties = this.#readProperties
    super.parseFrames(view as Parameters<AMQPClient['parseFrames']>[0])
  }

  #startHeart(): void {
    if (this.heartbeat <= 0) return
    const halfMs = (this.heartbeat * 1000) / 2
    let silent = 0
    let bytesRead = 0
    let bytesWritten = 0
    this.#heart = setInterval(() => {
      const { socket } = this
      if (socket === undefined) return
      // counted in beats and not by the clock: after a blocked event loop, one beat passes before data is read
      silent = socket.bytesRead === bytesRead ? silent + 1 : 0
      if (silent >= SILENT_BEATS) {
        this.fail(
          new ConnectionError(`no sign of life from ${this.broker.shown} for ${(halfMs * SILENT_BEATS) / 1000} s`),
        )
        return
      }
      bytesRead = socket.bytesRead
      if (socket.bytesWritten === bytesWritten) void this.send(HEARTBEAT_FRAME)
      bytesWritten = socket.bytesWritten
    }, halfMs)
  }

  /**
   * Sends bytes. On a busy connection all that is sent in one turn of the event loop goes out in one write at its end; else the first
   * bytes go out at once, which saves whoever waits for an answer a third of the time. Failures show as {@link lost}.
   */
  override send(bytes: Uint8Array): Promise<void> {
    const { socket } = this
    if (socket === undefined || socket.destroyed) return SENT
    if (this.#sends === 0) setImmediate(() => this.#endTurn())
    this.#sends += 1
    if (!this.#isCorked && (this.#isBusy || this.#sends > 1)) {
      this.#isCorked = true
      socket.cork()
    }
    socket.write(bytes)
    return SENT
  }

  #endTurn(): void {
    this.#isBusy = this.#sends > FEW_SENDS
    this.#sends = 0
    if (!this.#isCorked) return
    this.#isCorked = false
    this.socket?.uncork()
  }

  /** The largest frame that may be sent; a broker that sets no limit gets frames of our own size. */
  get largestFrame(): number {
    return this.frameMax === 0 ? FRAME_MAX : this.frameMax
  }

  /** How long the broker waits for a sign of life, at least; Infinity where no heartbeats were agreed on. */
  get silenceMs(): number {
    return this.heartbeat > 0 ? this.heartbeat * 2000 : Infinity
  }

  /** Bytes that the broker has sent so far. */
  get bytesRead(): number {
    return this.socket?.bytesRead ?? 0
  }

  /** Bytes that were given to {@link send} and are not on the wire yet. */
  get unsentBytes(): number {
    return this.socket?.writableLength ?? 0
  }

  /** Opens a channel whose errors show only in `onClosed`, with the broker's reason. */
  async openChannel(onClosed: (reason: Error) => void): Promise<AMQPChannel> {
    const channel = await within(this.channel(), this.#settings.connectTimeoutMs, 'opening a channel')
    channel.onerror = (reason) => {
      // a lost connection closes its channels first: why it was lost says more
      const failure = this.#failure
      onClosed(failure === undefined ? new ConnectionError(brokerText(reason)) : explainLoss(failure, this.broker))
    }
    return channel
  }

  /** Ends the connection as lost, with this reason. */
  fail(reason: Error): void {
    this.#failure = reason
    this.destroy()
  }

  /** Closes as the protocol wants it, and at once where the broker does not answer within `timeoutMs`. */
  async shutDown(timeoutMs: number): Promise<void> {
    // one that is lost meanwhile gives no answer
    if (!this.closed) await within(Promise.race([this.close(), this.lost]), timeoutMs, 'closing').catch(() => {})
    this.destroy()
    await this.lost
  }

  /** Ends the connection at once. What was sent and is still buffered here is lost. */
  destroy(): void {
    clearInterval(this.#heart)
    const { socket } = this
    if (socket === undefined) this.#onClosed()
    else socket.destroy()
  }

  /** The library ends the socket right after its last frame: let that frame go first. */
  protected override closeSocket(): void {
    this.socket?.uncork()
    super.closeSocket()
  }

  #onClosed(): void {
    clearInterval(this.#heart)
    this.#reportLost(this.#failure)
  }
}

/** All that is left of the frame but the byte that ends it. */
function propertyBytes({ buffer, byteOffset, byteLength }: DataView, start: number): Buffer {
  return Buffer.from(buffer, byteOffset + start, byteLength - 1 - start)
}

function isNack(frame: DataView): boolean {
  return (
    frame.getUint8(0) === 1 &&
    frame.byteLength > NACK.flagsAt &&
    frame.getUint16(NACK.classAt) === NACK.classId &&
    frame.getUint16(NACK.methodAt) === NACK.methodId
  )
}

/** The promise, or a ConnectionError when it takes longer. The late outcome is ignored. */
export async function within<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new ConnectionError(`${what}: no answer from the broker within ${timeoutMs} ms`)),
      timeoutMs,
    )
  })
  promise.catch(() => {})
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

function libraryUrl(broker: BrokerUrl, settings: ConnectionSettings): string {
  const url = new URL(broker.tls ? 'amqps://localhost' : 'amqp://localhost')
  url.username = encodeURIComponent(broker.user)
  url.password = encodeURIComponent(broker.password)
  url.port = String(broker.port)
  url.pathname = `/${encodeURIComponent(broker.vhost)}`
  url.searchParams.set('frameMax', String(FRAME_MAX))
  url.searchParams.set('heartbeat', String(Math.max(0, Math.ceil(settings.heartbeatMs / 1000))))
  url.searchParams.set('name', settings.name)
  return url.href
}

/** What the broker said, without the library's wording around it. */
function brokerText(message: string): string {
  return message.replace(/^(?:(?:connection|channel \d+) closed: )+/i, '')
}

function explainLoss(reason: Error, broker: BrokerUrl): Error {
  if (reason instanceof EventailError) return reason
  return new ConnectionError(`${broker.shown}: ${brokerText(reason.message)}`, { cause: plain(reason) })
}

function explain(error: unknown, broker: BrokerUrl): ConnectionError {
  const text = brokerText(error instanceof Error ? error.message : String(error))
  if (/ACCESS_REFUSED/.test(text)) {
    return new AccessRefusedError(
      `${broker.shown} refused user '${broker.user}': check the user name, the password and the user's permissions on virtual host '${broker.vhost}' (${text})`,
    )
  }
  if (/NOT_ALLOWED/.test(text)) {
    return new AccessRefusedError(
      `${broker.shown} refused the virtual host '${broker.vhost}': create it, or correct the URL (${text})`,
    )
  }
  const problem = (broker.tls ? tlsProblem(text) : undefined) ?? (text || 'the connection was closed')
  return new ConnectionError(`cannot connect to ${broker.shown}: ${problem}`, {
    cause: plain(error),
  })
}

/** The library's errors hold the whole connection, which nobody wants to see printed: a cause is an error without it. */
export function plain(error: unknown): unknown {
  if (!(error instanceof AMQPError)) return error
  const copy = new Error(error.message)
  if (error.stack !== undefined) copy.stack = error.stack
  return copy
}
