/**
 * A channel: what a client consumes and published on it, which deliveries it has not settled, and the contents that come in
 * after their method. What each method does is in the files of its class.
 */
import { BASIC_METHODS, publish } from './basic-methods.ts'
import type { Consumer } from './consumer.ts'
import { IncomingContent } from './content.ts'
import { AmqpException, blaming, notImplemented } from './exceptions.ts'
import { EXCHANGE_METHODS } from './exchange-methods.ts'
import type { Queue, QueueEntry } from './queue.ts'
import { QUEUE_METHODS } from './queue-methods.ts'
import type { Frame } from './frame-reader.ts'
import { argumentsIn, hasContent, knownMethod } from './method-arguments.ts'
import type { Reader } from './reader.ts'
import { contentFrames, FRAME_HEADER, FRAME_METHOD, frame, methodKey, MethodWriter } from './writer.ts'
import { byConsumer, byQueue, type Group, requeue, type Unsettled } from './settling.ts'
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
  /** A frame of a publish came: with too little memory, it is the last of its connection for now. */
  readonly publishes: () => void
  /** The connection goes without a word. */
  readonly drop: () => void
  /** Has `writeConfirms` called before the next bytes go out. */
  readonly confirmSoon: (channel: Channel) => void
}

/** Does what a method asks for; the reader stands before its arguments. */
export type Method = (channel: Channel, args: Reader) => void

/** A consumer of this channel. */
export interface Subscription {
  readonly consumer: Consumer
  readonly queue: Queue
  /** Below 0 when what an earlier consumer of the tag had is settled: RabbitMQ tells them apart by their tags alone. */
  unsettled: number
}

const BASIC = 60
const PUBLISH = methodKey(BASIC, 40)
const [OPEN, CLOSE, CLOSE_OK] = [methodKey(20, 10), methodKey(20, 40), methodKey(20, 41)]

const METHODS: ReadonlyMap<number, Method> = new Map<number, Method>([
  ...EXCHANGE_METHODS,
  ...QUEUE_METHODS,
  ...BASIC_METHODS,
  [OPEN, open],
  [methodKey(20, 20), flow],
  [CLOSE, close],
  // who asks for access has it
  [methodKey(30, 10), (channel) => channel.send(new MethodWriter(30, 11).uint16(1))],
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
  state: 'new' | 'open' | 'closing' | 'closed' = 'new'
  readonly #unsettled = new Map<number, Unsettled>()
  #unsettledOfConsumers = 0
  #lastTag = 0
  #incoming: IncomingContent | undefined
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

  /** @throws AmqpException, SilentEnd */
  handle({ type, payload }: Frame): void {
    const method = type === FRAME_METHOD ? knownMethod(payload) : undefined
    if (this.state === 'closing') this.#whileClosing(method)
    else if (method !== undefined) this.#method(method, payload)
    else if (this.#incoming === undefined)
      throw new AmqpException(505, 'expected method frame, got non method frame instead', 0)
    else {
      this.host.publishes()
      if (type === FRAME_HEADER) this.#incoming.header(payload)
      else this.#incoming.body(payload)
      this.#finish(this.#incoming)
    }
  }

  /** The channel is ended by an error: nothing of it is done any more, until the client agrees. */
  closeFor(error: AmqpException): void {
    this.release()
    this.state = 'closing'
    this.send(error.writtenTo(new MethodWriter(20, 40)))
  }

  /** Consumers go, and what was not settled comes back to the queues. */
  release(): void {
    this.#incoming?.release()
    this.#incoming = undefined
    if (this.state !== 'open') return
    this.state = 'closed'
    for (const { consumer, queue } of this.subscriptions.values()) queue.remove(consumer)
    this.subscriptions.clear()
    const all = byQueue([...this.#unsettled.values()])
    this.#unsettled.clear()
    this.host.vhost.buryingAfter(() => all.forEach(requeue))
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
   * Takes deliveries out of those that are not settled. They are to be given to `settle`.
   * @throws AmqpException (406) when there is none of this tag
   */
  taken(given: bigint, multiple: boolean): readonly Group[] {
    const tag = Number(given)
    const isKnown = this.#unsettled.has(tag) && BigInt(tag) === given
    if (!isKnown && !(multiple && tag === 0)) throw new AmqpException(406, `unknown delivery tag ${given}`)
    const tags = multiple ? [...this.#unsettled.keys()].filter((one) => tag === 0 || one <= tag) : [tag]
    return this.#take(tags)
  }

  /** The consumers may have room for more. */
  fill(): void {
    for (const queue of new Set(Array.from(this.subscriptions.values(), ({ queue: one }) => one))) {
      queue.consumers.roomAgain()
      queue.deliver()
    }
  }

  /** Settles one group after the other, with the room that this makes for its consumer; what the consumers may have together comes last. */
  settle(groups: readonly Group[], each: (group: Group) => void): void {
    for (const group of groups) {
      for (const { consumer, entry } of group) {
        const current = consumer && this.subscriptions.get(consumer.consumer.tag)
        if (current?.queue === entry.queue) current.unsettled -= 1
      }
      group[0]?.entry.queue.consumers.roomAgain()
      each(group)
    }
    for (const { consumer } of groups.flat()) if (consumer !== undefined) this.#unsettledOfConsumers -= 1
    this.fill()
  }

  requeueAll(): void {
    this.settle(this.#take([...this.#unsettled.keys()]), requeue)
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

  #take(tags: readonly number[]): readonly Group[] {
    const taken: Unsettled[] = []
    for (const tag of tags) {
      const held = this.#unsettled.get(tag)
      if (held !== undefined) taken.push(held)
      this.#unsettled.delete(tag)
    }
    return byConsumer(taken)
  }

  #sendContent(method: MethodWriter, { message }: QueueEntry): void {
    this.send(method)
    this.host.send(...contentFrames(this.number, message.properties, message.body, this.host.frameMax))
  }

  #whileClosing(method: number | undefined): void {
    if (method === CLOSE_OK) this.state = 'closed'
    if (method === CLOSE) this.send(new MethodWriter(20, 41))
  }

  #method(method: number, payload: Buffer): void {
    if (this.#incoming !== undefined) throw this.#incoming.unexpected()
    const args = argumentsIn(method, payload)
    if (!hasContent(method)) {
      blaming(method, () => this.host.vhost.buryingAfter(() => this.#do(method)(this, args)))
      return
    }
    if (method === PUBLISH) this.host.publishes()
    this.#incoming = new IncomingContent(method, args, this.host.vhost.memory)
  }

  /** @throws AmqpException (504) when the channel is not open, (503) when the method is not one for clients */
  #do(method: number): Method {
    if (this.state === 'new' && method !== OPEN) throw new AmqpException(504, `expected 'channel.open'`)
    const known = METHODS.get(method)
    if (known === undefined) throw new AmqpException(503, `unimplemented method`)
    return known
  }

  #finish(incoming: IncomingContent): void {
    if (!incoming.isComplete) return
    this.#incoming = undefined
    incoming.release()
    const { method, args } = incoming
    blaming(method, () => {
      if (method !== PUBLISH || this.state === 'new') this.#do(method)
      const { properties, body } = incoming.take()
      publish(this, args, properties, body)
    })
  }
}

function open(channel: Channel): void {
  if (channel.state !== 'new') throw new AmqpException(504, `second 'channel.open' seen`)
  channel.state = 'open'
  channel.send(new MethodWriter(20, 11).uint32(0))
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
