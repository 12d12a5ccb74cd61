/**
 * A channel: what a client consumes and published on it, which deliveries it has not settled, and the contents that come in
 * after their method. What each method does is in the files of its class.
 */
import { BASIC_METHODS, publish } from './basic-methods.ts'
import type { Consumer } from './consumer.ts'
import { AmqpException, notImplemented } from './exceptions.ts'
import { EXCHANGE_METHODS } from './exchange-methods.ts'
import type { Queue, QueueEntry } from './queue.ts'
import { QUEUE_METHODS } from './queue-methods.ts'
import type { Frame } from './frame-reader.ts'
import { Reader } from './reader.ts'
import { contentFrames, FRAME_HEADER, FRAME_METHOD, frame, methodKey, MethodWriter } from './writer.ts'
import type { VirtualHost } from './virtual-host.ts'

/** What a channel needs of its connection. */
export interface ChannelHost {
  readonly name: string
  readonly vhost: VirtualHost
  readonly user: string
  readonly frameMax: number
  /** Whether the client told that it understands basic.cancel from the broker. */
  readonly takesCancel: boolean
  /** Whether more is written than the client has read. */
  readonly congested: boolean
  readonly send: (...frames: readonly Buffer[]) => void
  /** The client publishes: with too little memory its connection is held up. */
  readonly publishes: () => void
  /** The connection goes without a word. */
  readonly drop: () => void
  /** Has `writeConfirms` called before the next bytes go out. */
  readonly confirmSoon: (channel: Channel) => void
}

/** Does what a method asks for; the reader stands before its arguments. */
export type Method = (channel: Channel, args: Reader) => void

/** A delivery that is not settled. */
interface Unsettled {
  readonly entry: QueueEntry
  /** None for basic.get. */
  readonly consumer: Subscription | undefined
}

/** A consumer of this channel. */
export interface Subscription {
  readonly consumer: Consumer
  readonly queue: Queue
  unsettled: number
}

/** A message that is still coming in. */
interface Incoming {
  readonly args: Reader
  properties?: Buffer
  size: number
  received: number
  readonly chunks: Buffer[]
}

const MOST_BYTES = 134_217_728
const BASIC = 60
const PUBLISH = methodKey(BASIC, 40)

const METHODS: ReadonlyMap<number, Method> = new Map<number, Method>([
  ...EXCHANGE_METHODS,
  ...QUEUE_METHODS,
  ...BASIC_METHODS,
  [methodKey(20, 10), secondOpen],
  [methodKey(20, 20), flow],
  [methodKey(20, 40), close],
  [methodKey(85, 10), confirmSelect],
  ...[10, 20, 30].map((id): [number, Method] => [methodKey(90, id), () => refuse('transactions (tx)')]),
])

export class Channel {
  readonly number: number
  readonly host: ChannelHost
  readonly subscriptions = new Map<string, Subscription>()
  /** Of new consumers; 0 is no limit. */
  prefetch = 0
  /** Of all consumers of the channel together; 0 is no limit. */
  sharedPrefetch = 0
  /** The queue declared last: an empty name means it. */
  lastQueue = ''
  state: 'open' | 'closing' | 'closed' = 'open'
  readonly #unsettled = new Map<number, Unsettled>()
  #unsettledOfConsumers = 0
  #lastTag = 0
  #incoming: Incoming | undefined
  #confirms = false
  #lastPublished = 0
  #toConfirm: { readonly number: number; readonly ok: boolean }[] = []

  constructor(number: number, host: ChannelHost) {
    this.number = number
    this.host = host
  }

  get unsettledCount(): number {
    return this.#unsettled.size
  }

  send(method: MethodWriter): void {
    this.host.send(frame(FRAME_METHOD, this.number, method.bytes()))
  }

  /** @throws AmqpException */
  handle({ type, payload }: Frame): void {
    if (this.state === 'closing') {
      this.#whileClosing(type, payload)
      return
    }
    if (type === FRAME_METHOD) this.#method(payload)
    else if (type === FRAME_HEADER) this.#contentHeader(payload)
    else this.#contentBody(payload)
  }

  /** The channel is ended by an error: nothing of it is done any more, until the client agrees. */
  closeFor({ code, message }: AmqpException, classId: number, methodId: number): void {
    this.release()
    this.state = 'closing'
    this.#incoming = undefined
    this.send(new MethodWriter(20, 40).uint16(code).shortString(message).uint16(classId).uint16(methodId))
  }

  /** Consumers go, and what was not settled comes back to the queues. */
  release(): void {
    if (this.state !== 'open') return
    this.state = 'closed'
    for (const { consumer, queue } of this.subscriptions.values()) queue.remove(consumer)
    this.subscriptions.clear()
    this.requeueAll()
  }

  /** A message that was published has its place in the order of confirms. @returns 0 without confirms */
  numberOfPublished(): number {
    return this.#confirms ? (this.#lastPublished += 1) : 0
  }

  confirm(number: number, ok: boolean): void {
    if (number === 0) return
    this.#toConfirm.push({ number, ok })
    this.host.confirmSoon(this)
  }

  /** Confirms what was published since the last time, with as few methods as possible. */
  writeConfirms(): void {
    const all = this.#toConfirm
    if (all.length === 0) return
    this.#toConfirm = []
    let count = 0
    for (const [index, { number, ok }] of all.entries()) {
      count += 1
      if (all[index + 1]?.ok === ok) continue
      const method = new MethodWriter(BASIC, ok ? 80 : 120).uint64(number).uint8(count > 1 ? 1 : 0)
      this.send(method)
      count = 0
    }
  }

  /** Whether one more message would be within what the channel's consumers may have together. */
  hasRoom(): boolean {
    return this.sharedPrefetch === 0 || this.#unsettledOfConsumers < this.sharedPrefetch
  }

  deliver(entry: QueueEntry, subscription: Subscription): void {
    const { consumer } = subscription
    this.#lastTag += 1
    if (!consumer.noAck) this.#hold(entry, subscription)
    const { message, redelivered } = entry
    const method = new MethodWriter(BASIC, 60)
      .shortString(consumer.tag)
      .uint64(this.#lastTag)
      .uint8(redelivered ? 1 : 0)
      .shortString(message.exchange)
      .shortString(message.routingKey)
    this.#sendContent(method, entry)
  }

  /** Answers basic.get. */
  deliverGot(entry: QueueEntry, noAck: boolean): void {
    this.#lastTag += 1
    if (!noAck) this.#hold(entry, undefined)
    const { message, redelivered, queue } = entry
    const method = new MethodWriter(BASIC, 71)
      .uint64(this.#lastTag)
      .uint8(redelivered ? 1 : 0)
      .shortString(message.exchange)
      .shortString(message.routingKey)
      .uint32(queue.readyCount)
    this.#sendContent(method, entry)
    if (noAck) queue.settle(entry)
  }

  /** A mandatory message comes back. */
  sendReturned(exchange: string, routingKey: string, properties: Buffer, body: Buffer): void {
    this.send(
      new MethodWriter(BASIC, 50).uint16(312).shortString('NO_ROUTE').shortString(exchange).shortString(routingKey),
    )
    this.host.send(...contentFrames(this.number, properties, body, this.host.frameMax))
  }

  /**
   * Takes deliveries out of those that are not settled.
   * @throws AmqpException (406) when there is none of this tag
   */
  taken(tag: number, multiple: boolean): readonly QueueEntry[] {
    if (!this.#unsettled.has(tag) && !(multiple && tag === 0))
      throw new AmqpException(406, `unknown delivery tag ${tag}`)
    const tags = multiple ? [...this.#unsettled.keys()].filter((one) => tag === 0 || one <= tag) : [tag]
    return tags.flatMap((one) => this.#take(one))
  }

  /** The consumers may have room for more. */
  fill(): void {
    for (const { consumer, queue } of this.subscriptions.values()) {
      queue.consumers.roomAgain(consumer)
      queue.deliver()
    }
  }

  requeueAll(): void {
    requeue([...this.#unsettled.keys()].flatMap((tag) => this.#take(tag)))
  }

  startConfirms(): void {
    this.#confirms = true
  }

  #hold(entry: QueueEntry, consumer: Subscription | undefined): void {
    this.#unsettled.set(this.#lastTag, { entry, consumer })
    if (consumer === undefined) return
    consumer.unsettled += 1
    this.#unsettledOfConsumers += 1
  }

  #take(tag: number): readonly QueueEntry[] {
    const held = this.#unsettled.get(tag)
    if (held === undefined) return []
    this.#unsettled.delete(tag)
    if (held.consumer !== undefined) {
      held.consumer.unsettled -= 1
      this.#unsettledOfConsumers -= 1
    }
    return [held.entry]
  }

  #sendContent(method: MethodWriter, { message }: QueueEntry): void {
    this.send(method)
    this.host.send(...contentFrames(this.number, message.properties, message.body, this.host.frameMax))
  }

  #whileClosing(type: number, payload: Buffer): void {
    if (type !== FRAME_METHOD) return
    const method = payload.readUInt32BE(0)
    if (method === methodKey(20, 41)) this.state = 'closed'
    if (method === methodKey(20, 40)) this.send(new MethodWriter(20, 41))
  }

  #method(payload: Buffer): void {
    if (this.#incoming !== undefined)
      throw new AmqpException(
        505,
        this.#incoming.properties === undefined
          ? `expected content header for class ${BASIC}, got non content header frame instead`
          : 'expected content body, got non content body frame instead',
      )
    const args = new Reader(payload)
    const key = args.uint32()
    if (key === PUBLISH) {
      this.host.publishes()
      this.#incoming = { args, size: 0, received: 0, chunks: [] }
      return
    }
    const method = METHODS.get(key)
    if (method === undefined) throw new AmqpException(503, `unimplemented method`)
    method(this, args)
  }

  #contentHeader(payload: Buffer): void {
    const incoming = this.#incoming
    if (incoming === undefined) throw new AmqpException(505, 'expected method frame, got content header frame instead')
    if (incoming.properties !== undefined)
      throw new AmqpException(505, 'expected content body, got non content body frame instead')
    const header = new Reader(payload)
    const classId = header.uint16()
    if (classId !== BASIC)
      throw new AmqpException(505, `expected content header for class ${BASIC}, got one for class ${classId} instead`)
    header.uint16()
    incoming.size = header.uint64()
    incoming.properties = header.rest()
    this.#finish(incoming)
  }

  #contentBody(payload: Buffer): void {
    const incoming = this.#incoming
    if (incoming === undefined) throw new AmqpException(505, 'expected method frame, got content body frame instead')
    if (incoming.properties === undefined)
      throw new AmqpException(505, `expected content header for class ${BASIC}, got non content header frame instead`)
    incoming.received += payload.length
    if (incoming.received > incoming.size)
      throw new AmqpException(505, 'the content body is longer than its header says')
    // too large a body is refused when it is there as a whole; until then it is only counted
    if (incoming.size <= MOST_BYTES) incoming.chunks.push(payload)
    this.#finish(incoming)
  }

  #finish({ args, properties, size, received, chunks }: Incoming): void {
    if (properties === undefined || received < size) return
    this.#incoming = undefined
    if (size > MOST_BYTES)
      throw new AmqpException(406, `message size ${size} is larger than configured max size ${MOST_BYTES}`)
    const [only] = chunks
    // copied out of what was read from the socket: a small body would keep all of that alive
    publish(
      this,
      args,
      Buffer.from(properties),
      chunks.length === 1 && only !== undefined ? Buffer.from(only) : Buffer.concat(chunks),
    )
  }
}

/** Gives deliveries back, each to its queue. */
export function requeue(entries: readonly QueueEntry[]): void {
  const queues = new Map<Queue, QueueEntry[]>()
  for (const entry of entries) {
    const own = queues.get(entry.queue)
    if (own === undefined) queues.set(entry.queue, [entry])
    else own.push(entry)
  }
  for (const [queue, own] of queues) queue.requeue(own)
}

function secondOpen(): void {
  throw new AmqpException(504, `second 'channel.open' seen`)
}

function flow(channel: Channel, args: Reader): void {
  if (!args.bits()(0)) throw notImplemented('active=false')
  channel.send(new MethodWriter(20, 21).uint8(1))
}

function close(channel: Channel): void {
  channel.release()
  channel.writeConfirms()
  channel.send(new MethodWriter(20, 41))
}

function confirmSelect(channel: Channel, args: Reader): void {
  channel.startConfirms()
  if (!args.bits()(0)) channel.send(new MethodWriter(85, 11))
}

function refuse(what: string): void {
  throw notImplemented(what)
}
