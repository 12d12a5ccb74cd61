/**
 * A client's connection: the handshake, its channels, heartbeats, and what ends it. Malformed and hostile frames end this connection,
 * with the code that RabbitMQ gives, and touch no other. Source: AMQP 0-9-1, sections 1.4, 2.2.4 and 4.2.
 */
import type { Socket } from 'node:net'
import { Channel, type ChannelHost } from './channel.ts'
import { AmqpException, blaming, SilentEnd } from './exceptions.ts'
import type { FieldTable } from './field-table.ts'
import { type Frame, FrameReader, unexpectedFrame } from './frame-reader.ts'
import {
  FRAME_MAX,
  isProtocolHeader,
  limitsIn,
  loginIn,
  PROTOCOL_HEADER,
  SMALLEST_FRAME_MAX,
  start,
  tune,
} from './login.ts'
import { argumentsIn, knownMethod } from './method-arguments.ts'
import type { Reader } from './reader.ts'
import type { VirtualHost } from './virtual-host.ts'
import { frame, FRAME_HEARTBEAT, FRAME_METHOD, methodKey, MethodWriter } from './writer.ts'

/** What a connection needs of the broker. */
export interface ConnectionHost {
  readonly vhost: (name: string) => VirtualHost | undefined
  readonly isUser: (name: string, password: string) => boolean
  readonly memoryAlarm: () => boolean
  readonly ended: (connection: Connection) => void
}

const CONNECTION = 10
const HANDSHAKE_MS = 10_000
const HEARTBEAT_FRAME = frame(FRAME_HEARTBEAT, 0, Buffer.alloc(0))
/** Between heartbeats to a client that is held up. */
const PULSE_MS = 1_000
/** How long a client may take to agree that the connection ends. */
const CLOSE_MS = 3_000
/** What may be written before the client has read it: then deliveries wait. */
const MOST_UNREAD_BYTES = 4 * 1_024 * 1_024
/** Then it can ask for nothing more. */
const MOST_UNREAD_ANSWERS_BYTES = 4 * MOST_UNREAD_BYTES
const [START_OK, TUNE_OK, OPEN, CLOSE, CLOSE_OK, UPDATE_SECRET] = [11, 31, 40, 50, 51, 70].map((id) =>
  methodKey(CONNECTION, id),
)

type State = 'header' | 'starting' | 'tuning' | 'opening' | 'running' | 'closing' | 'closed'
/** As long as nobody knows who the client is, and what it can take, nothing is explained. */
const SILENT: ReadonlySet<State> = new Set(['header', 'starting', 'tuning'])

export class Connection implements ChannelHost {
  /** Client and broker, each as address and port. */
  readonly name: string
  readonly channels = new Map<number, Channel>()
  readonly connectedAtMs = Date.now()
  clientProperties: FieldTable = new Map()
  user = ''
  frameMax = FRAME_MAX
  takesCancel = false
  congested = false
  readonly #socket: Socket
  readonly #host: ConnectionHost
  readonly #frames = new FrameReader(SMALLEST_FRAME_MAX)
  readonly #toConfirm = new Set<Channel>()
  #vhost: VirtualHost | undefined
  #state: State = 'header'
  #takesBlocked = false
  #channelMax = 0
  #blocked = false
  #deaf = false
  #out: Buffer[] = []
  #outBytes = 0
  #heard = true
  #sentAtMs = Date.now()
  #timer: NodeJS.Timeout
  #pulse: NodeJS.Timeout | undefined

  constructor(socket: Socket, host: ConnectionHost) {
    this.#socket = socket
    this.#host = host
    this.name = `${socket.remoteAddress}:${socket.remotePort} -> ${socket.localAddress}:${socket.localPort}`
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#received(chunk))
    socket.on('drain', () => this.#drained())
    // what went wrong with a socket, its close follows
    socket.on('error', () => undefined)
    socket.on('close', () => this.#ended())
    this.#timer = setTimeout(() => socket.destroy(), HANDSHAKE_MS)
  }

  /** Of a connection that is open. */
  get vhost(): VirtualHost {
    if (this.#vhost === undefined) throw new AmqpException(503, 'the connection is not open')
    return this.#vhost
  }

  get isRunning(): boolean {
    return this.#state === 'running'
  }

  /** Whether it is held up until there is memory again. */
  get isBlocked(): boolean {
    return this.#blocked
  }

  readonly send = (...frames: readonly Buffer[]): void => {
    if (this.#state === 'closed') return
    if (this.#out.length === 0) queueMicrotask(() => this.#flush())
    for (const bytes of frames) {
      this.#out.push(bytes)
      this.#outBytes += bytes.length
    }
    const unread = this.#outBytes + this.#socket.writableLength
    if (unread > MOST_UNREAD_BYTES) this.congested = true
    if (this.#deaf || unread <= MOST_UNREAD_ANSWERS_BYTES) return
    this.#deaf = true
    this.#socket.pause()
  }

  /** Who publishes while memory is short is held up from then on. */
  readonly publishes = (): void => {
    if (this.#blocked || !this.#host.memoryAlarm()) return
    this.#blocked = true
    if (this.#takesBlocked) this.#sendMethod(new MethodWriter(CONNECTION, 60).shortString('low on memory'))
    this.#socket.pause()
    // who does not listen sees by what it says alone that the other side is gone
    this.#pulse = setInterval(() => this.send(HEARTBEAT_FRAME), PULSE_MS)
  }

  readonly drop = (): void => {
    this.#state = 'closed'
    this.#socket.destroy()
  }

  readonly confirmSoon = (channel: Channel): void => {
    if (this.#toConfirm.size === 0) queueMicrotask(() => this.#flush())
    this.#toConfirm.add(channel)
  }

  /** There is memory again. */
  unblock(): void {
    if (!this.#blocked) return
    this.#blocked = false
    clearInterval(this.#pulse)
    if (this.#takesBlocked) this.#sendMethod(new MethodWriter(CONNECTION, 61))
    this.#listen()
  }

  /** Ends the connection with an error. */
  closeFor(error: AmqpException): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    this.#release()
    this.#state = 'closing'
    this.#sendMethod(error.writtenTo(new MethodWriter(CONNECTION, 50)))
    this.#endSoon()
  }

  #endSoon(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#socket.destroy(), CLOSE_MS)
  }

  /** The connection ends; what was said before is still sent. */
  #end(lastBytes?: Buffer): void {
    this.#release()
    this.#flush()
    this.#state = 'closed'
    if (lastBytes !== undefined) this.#socket.write(lastBytes)
    this.#socket.end()
    this.#endSoon()
  }

  /** What was held up goes on, unless something else holds it up. */
  #listen(): void {
    if (this.#blocked || this.#deaf) return
    this.#socket.resume()
    queueMicrotask(() => this.#process())
  }

  #received(chunk: Buffer): void {
    if (this.#state === 'closed') return
    this.#heard = true
    this.#frames.push(chunk)
    this.#process()
  }

  #process(): void {
    try {
      if (this.#state === 'header' && !this.#protocolHeader()) return
      while (!this.#blocked && !this.#deaf && this.#state !== 'closed') {
        const next = this.#frames.next()
        if (next === undefined) return
        this.#frame(next)
      }
    } catch (error) {
      this.#failed(error)
    }
  }

  #failed(error: unknown): void {
    if (error instanceof SilentEnd || SILENT.has(this.#state)) this.#end()
    else if (error instanceof AmqpException) this.closeFor(error)
    else this.closeFor(new AmqpException(541, error instanceof Error ? error.message : String(error)))
  }

  #protocolHeader(): boolean {
    const header = this.#frames.take(8)
    if (header === undefined) return false
    if (!isProtocolHeader(header)) {
      this.#end(PROTOCOL_HEADER)
      return false
    }
    this.#state = 'starting'
    this.#sendMethod(start())
    return true
  }

  #frame(next: Frame): void {
    const { type, channel: number } = next
    if (this.#state === 'closing' && number !== 0) return
    if (type === FRAME_HEARTBEAT && number === 0) return
    if (type === FRAME_HEARTBEAT || (number === 0 ? type !== FRAME_METHOD : !this.isRunning))
      throw unexpectedFrame(next)
    if (number === 0) this.#own(next.payload)
    else this.#ofChannel(next)
  }

  #ofChannel(next: Frame): void {
    const channel = this.channels.get(next.channel) ?? this.#newChannel(next.channel)
    try {
      channel.handle(next)
    } catch (error) {
      if (!(error instanceof AmqpException) || error.endsConnection) throw error
      channel.closeFor(error)
    }
    if (channel.state === 'closed') this.channels.delete(next.channel)
  }

  #newChannel(number: number): Channel {
    const { size } = this.channels
    if (size >= this.#channelMax) {
      const text = `number of channels opened (${size}) has reached the negotiated channel_max (${this.#channelMax})`
      throw new AmqpException(530, text, 0)
    }
    const channel = new Channel(number, this)
    this.channels.set(number, channel)
    return channel
  }

  #own(payload: Buffer): void {
    const method = knownMethod(payload)
    if (this.#state === 'closing') {
      if (method === CLOSE_OK) this.#socket.end()
      if (method === CLOSE) this.#closedByClient()
      return
    }
    blaming(method, () => this.#do(method, argumentsIn(method, payload)))
  }

  #do(method: number, args: Reader): void {
    if (method === START_OK && this.#state === 'starting') this.#startOk(args)
    else if (method === TUNE_OK && this.#state === 'tuning') this.#tuneOk(args)
    else if (method === OPEN && this.#state === 'opening') this.#open(args)
    else if (method === CLOSE && this.isRunning) this.#closedByClient()
    // there is nothing that a new secret would open
    else if (method === UPDATE_SECRET && this.isRunning) this.#sendMethod(new MethodWriter(CONNECTION, 71))
    else throw new AmqpException(504, `unexpected method in connection state ${this.#state}`)
  }

  #startOk(args: Reader): void {
    const { mechanism, user, password, properties, can } = loginIn(args)
    this.clientProperties = properties
    this.takesCancel = can('consumer_cancel_notify')
    this.#takesBlocked = can('connection.blocked')
    if (!this.#host.isUser(user, password)) {
      const refused = `Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`
      if (can('authentication_failure_close')) this.closeFor(new AmqpException(403, refused, 0))
      else this.#end()
      return
    }
    this.user = user
    this.#state = 'tuning'
    this.#sendMethod(tune())
  }

  #tuneOk(args: Reader): void {
    const { channelMax, frameMax, heartbeatS } = limitsIn(args)
    this.#channelMax = channelMax
    this.frameMax = frameMax
    this.#frames.maxSize = frameMax
    this.#state = 'opening'
    if (heartbeatS > 0) this.#beat(heartbeatS * 1_000)
  }

  #open(args: Reader): void {
    const name = args.shortString()
    const vhost = this.#host.vhost(name)
    if (vhost === undefined) throw new AmqpException(530, `vhost ${name} not found`)
    this.#vhost = vhost
    this.#state = 'running'
    this.#sendMethod(new MethodWriter(CONNECTION, 41).shortString(''))
    clearTimeout(this.#timer)
  }

  #closedByClient(): void {
    this.#sendMethod(new MethodWriter(CONNECTION, 51))
    this.#end()
  }

  /** The broker shows that it lives twice in each interval, and gives up when it heard nothing in two of them, one after the other. */
  #beat(intervalMs: number): void {
    const sender = setInterval(() => {
      if (Date.now() - this.#sentAtMs >= intervalMs / 2) this.send(HEARTBEAT_FRAME)
    }, intervalMs / 2)
    let silent = 0
    const listener = setInterval(() => {
      // who is not listened to may say what it likes
      silent = this.#heard || this.#blocked || this.#deaf ? 0 : silent + 1
      this.#heard = false
      if (silent === 2) this.#socket.destroy()
    }, intervalMs)
    this.#socket.once('close', () => {
      clearInterval(sender)
      clearInterval(listener)
    })
  }

  #sendMethod(method: MethodWriter): void {
    this.send(frame(FRAME_METHOD, 0, method.bytes()))
  }

  #flush(): void {
    for (const channel of this.#toConfirm) channel.writeConfirms()
    this.#toConfirm.clear()
    const out = this.#out
    if (out.length === 0 || this.#socket.destroyed) return
    this.#out = []
    this.#outBytes = 0
    this.#sentAtMs = Date.now()
    const bytes = out.length === 1 && out[0] !== undefined ? out[0] : Buffer.concat(out)
    // what the system takes at once is followed by no 'drain'
    if (this.#socket.write(bytes)) this.#drained()
  }

  #drained(): void {
    if (!this.congested) return
    this.congested = false
    this.#deaf = false
    this.#listen()
    for (const channel of this.channels.values()) channel.fill()
  }

  #release(): void {
    for (const channel of this.channels.values()) channel.release()
    this.channels.clear()
    for (const queue of this.#vhost?.queues.values() ?? [])
      if (queue.options.owner === this) this.#vhost?.deleteQueue(queue)
  }

  #ended(): void {
    this.#release()
    this.#state = 'closed'
    clearTimeout(this.#timer)
    clearInterval(this.#pulse)
    this.#host.ended(this)
  }
}
