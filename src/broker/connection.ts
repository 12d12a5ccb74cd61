/**
 * A client's connection: the handshake, its channels, heartbeats, and what ends it. Malformed and hostile frames end this connection,
 * with the code that RabbitMQ gives, and touch no other. Source: AMQP 0-9-1, sections 1.4, 2.2.4 and 4.2.
 */
import type { Socket } from 'node:net'
import { Channel, type ChannelHost } from './channel.ts'
import { AmqpException } from './exceptions.ts'
import { booleanField, booleanIn, type FieldTable, readTable, stringField, tableField } from './field-table.ts'
import { type Frame, FrameReader } from './frame-reader.ts'
import { Reader } from './reader.ts'
import type { VirtualHost } from './virtual-host.ts'
import { frame, FRAME_BODY, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD, methodKey, MethodWriter } from './writer.ts'

/** What a connection needs of the broker. */
export interface ConnectionHost {
  readonly vhost: (name: string) => VirtualHost | undefined
  readonly isUser: (name: string, password: string) => boolean
  readonly memoryAlarm: () => boolean
  readonly ended: (connection: Connection) => void
}

const CONNECTION = 10
const PROTOCOL_HEADER = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1])
const CHANNEL_MAX = 2_047
const FRAME_MAX = 131_072
const SMALLEST_FRAME_MAX = 4_096
const HEARTBEAT_S = 60
const HANDSHAKE_MS = 10_000
/** How long a client may take to agree that the connection ends. */
const CLOSE_MS = 3_000
/** What may be written before the client has read it. */
const MOST_UNREAD_BYTES = 4 * 1_024 * 1_024

const SERVER_PROPERTIES: FieldTable = new Map([
  [
    'capabilities',
    tableField(
      new Map(
        [
          'publisher_confirms',
          'exchange_exchange_bindings',
          'basic.nack',
          'consumer_cancel_notify',
          'connection.blocked',
          'consumer_priorities',
          'authentication_failure_close',
          'per_consumer_qos',
        ].map((name) => [name, booleanField(true)]),
      ),
    ),
  ],
  ['product', stringField('eventail development broker')],
  ['platform', stringField('Node.js')],
  ['information', stringField('For development and tests; nothing is kept when it ends')],
])

type State = 'header' | 'start' | 'tune' | 'open' | 'running' | 'closing' | 'closed'

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
  readonly #frames = new FrameReader(FRAME_MAX)
  readonly #toConfirm = new Set<Channel>()
  #vhost: VirtualHost | undefined
  #state: State = 'header'
  #takesBlocked = false
  #publishes = false
  #blocked = false
  #out: Buffer[] = []
  #heard = true
  #sentAtMs = Date.now()
  #timer: NodeJS.Timeout

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
    for (const bytes of frames) this.#out.push(bytes)
  }

  readonly publishes = (): void => {
    this.#publishes = true
    this.memoryChanged()
  }

  readonly drop = (): void => {
    this.#state = 'closed'
    this.#socket.destroy()
  }

  readonly confirmSoon = (channel: Channel): void => {
    if (this.#toConfirm.size === 0) queueMicrotask(() => this.#flush())
    this.#toConfirm.add(channel)
  }

  /** Whoever publishes waits while memory is short. */
  memoryChanged(): void {
    const blocked = this.#publishes && this.#host.memoryAlarm()
    if (blocked === this.#blocked || !this.isRunning) return
    this.#blocked = blocked
    if (this.#takesBlocked)
      this.#sendMethod(
        blocked ? new MethodWriter(CONNECTION, 60).shortString('low on memory') : new MethodWriter(CONNECTION, 61),
      )
    if (blocked) this.#socket.pause()
    else {
      this.#socket.resume()
      queueMicrotask(() => this.#process())
    }
  }

  /** Ends the connection with an error. */
  closeFor({ code, message }: AmqpException, classId = 0, methodId = 0): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    this.#release()
    this.#state = 'closing'
    this.#sendMethod(
      new MethodWriter(CONNECTION, 50).uint16(code).shortString(message).uint16(classId).uint16(methodId),
    )
    this.#endSoon()
  }

  #endSoon(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#socket.destroy(), CLOSE_MS)
  }

  #received(chunk: Buffer): void {
    this.#heard = true
    this.#frames.push(chunk)
    this.#process()
  }

  #process(): void {
    try {
      if (this.#state === 'header' && !this.#protocolHeader()) return
      while (!this.#blocked && this.#state !== 'closed') {
        const next = this.#frames.next()
        if (next === undefined) return
        this.#frame(next)
      }
    } catch (error) {
      this.#failed(error, 0, 0)
    }
  }

  #protocolHeader(): boolean {
    const header = this.#frames.take(8)
    if (header === undefined) return false
    if (!header.equals(PROTOCOL_HEADER)) {
      this.#socket.end(PROTOCOL_HEADER)
      this.#endSoon()
      this.#state = 'closed'
      return false
    }
    this.#state = 'start'
    this.#sendMethod(
      new MethodWriter(CONNECTION, 10)
        .uint8(0)
        .uint8(9)
        .table(SERVER_PROPERTIES)
        .longString('PLAIN')
        .longString('en_US'),
    )
    return true
  }

  #frame(next: Frame): void {
    if (![FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT].includes(next.type))
      throw new AmqpException(501, `type ${next.type}, all octets = <<>>: unknown_frame`)
    if (next.type === FRAME_HEARTBEAT) return
    const isMethod = next.type === FRAME_METHOD && next.payload.length >= 4
    const [classId, methodId] = isMethod ? [next.payload.readUInt16BE(0), next.payload.readUInt16BE(2)] : [0, 0]
    try {
      if (next.channel === 0) this.#own(next, classId, methodId)
      else if (this.isRunning) this.#ofChannel(next, methodKey(classId, methodId))
    } catch (error) {
      const channel = this.channels.get(next.channel)
      if (error instanceof AmqpException && !error.endsConnection && channel !== undefined)
        channel.closeFor(error, classId, methodId)
      else this.#failed(error, classId, methodId)
    }
  }

  #failed(error: unknown, classId: number, methodId: number): void {
    if (error instanceof AmqpException) this.closeFor(error, classId, methodId)
    else
      this.closeFor(
        new AmqpException(541, error instanceof Error ? error.message : 'internal error'),
        classId,
        methodId,
      )
  }

  #ofChannel(next: Frame, method: number): void {
    const channel = this.channels.get(next.channel)
    if (channel !== undefined) {
      channel.handle(next)
      if (channel.state === 'closed') this.channels.delete(next.channel)
      return
    }
    if (next.type !== FRAME_METHOD || method !== methodKey(20, 10))
      throw new AmqpException(504, `expected 'channel.open'`)
    this.channels.set(next.channel, new Channel(next.channel, this))
    this.send(frame(FRAME_METHOD, next.channel, new MethodWriter(20, 11).uint32(0).bytes()))
  }

  #own({ type, payload }: Frame, classId: number, methodId: number): void {
    if (type !== FRAME_METHOD || classId !== CONNECTION)
      throw new AmqpException(503, 'only methods of the connection belong on channel 0')
    const args = new Reader(payload.subarray(4))
    const closing = this.#state === 'closing'
    if (methodId === 51 && closing) this.#socket.end()
    else if (methodId === 50) this.#closedByClient()
    else if (closing) return
    else if (methodId === 11 && this.#state === 'start') this.#startOk(args)
    else if (methodId === 31 && this.#state === 'tune') this.#tuneOk(args)
    else if (methodId === 40 && this.#state === 'open') this.#open(args)
    else throw new AmqpException(503, `method ${methodId} of the connection is not expected now`)
  }

  #startOk(args: Reader): void {
    this.clientProperties = args.table()
    const mechanism = args.shortString()
    const response = args.longString().toString()
    const field = this.clientProperties.get('capabilities')
    const capabilities = field?.type === 'F' ? readTable(field.bytes) : undefined
    this.takesCancel = booleanIn(capabilities?.get('consumer_cancel_notify')) === true
    this.#takesBlocked = booleanIn(capabilities?.get('connection.blocked')) === true
    const [, user = '', password = ''] = response.split('\0')
    if (mechanism !== 'PLAIN' || !this.#host.isUser(user, password)) {
      const refused = `Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`
      if (booleanIn(capabilities?.get('authentication_failure_close')) === true)
        this.closeFor(new AmqpException(403, refused))
      else this.#socket.end()
      return
    }
    this.user = user
    this.#state = 'tune'
    this.#sendMethod(new MethodWriter(CONNECTION, 30).uint16(CHANNEL_MAX).uint32(FRAME_MAX).uint16(HEARTBEAT_S))
  }

  #tuneOk(args: Reader): void {
    const channelMax = args.uint16()
    const frameMax = args.uint32()
    const heartbeatS = args.uint16()
    if (channelMax > CHANNEL_MAX || channelMax === 0)
      throw new AmqpException(
        530,
        `negotiated channel_max = ${channelMax} is higher than the maximum allowed value (${CHANNEL_MAX})`,
      )
    if (frameMax !== 0 && frameMax < SMALLEST_FRAME_MAX)
      throw new AmqpException(
        530,
        `negotiated frame_max = ${frameMax} is lower than the minimum allowed value (${SMALLEST_FRAME_MAX})`,
      )
    if (frameMax === 0 || frameMax > FRAME_MAX)
      throw new AmqpException(
        530,
        `negotiated frame_max = ${frameMax} is higher than the maximum allowed value (${FRAME_MAX})`,
      )
    this.frameMax = frameMax
    this.#frames.maxSize = frameMax
    this.#state = 'open'
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
    this.#release()
    this.#sendMethod(new MethodWriter(CONNECTION, 51))
    this.#flush()
    this.#state = 'closed'
    this.#socket.end()
    this.#endSoon()
  }

  /** The broker shows that it lives twice in each interval, and gives up when it heard nothing in two of them, one after the other. */
  #beat(intervalMs: number): void {
    const sender = setInterval(() => {
      if (Date.now() - this.#sentAtMs >= intervalMs / 2) this.send(frame(FRAME_HEARTBEAT, 0, Buffer.alloc(0)))
    }, intervalMs / 2)
    let silent = 0
    const listener = setInterval(() => {
      silent = this.#heard || this.#blocked ? 0 : silent + 1
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
    this.#sentAtMs = Date.now()
    this.#socket.write(out.length === 1 && out[0] !== undefined ? out[0] : Buffer.concat(out))
    this.congested = this.#socket.writableLength > MOST_UNREAD_BYTES
  }

  #drained(): void {
    if (!this.congested) return
    this.congested = false
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
    this.#host.ended(this)
  }
}
