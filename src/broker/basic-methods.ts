/** The methods of the class basic: consuming, publishing, settling. Source: AMQP 0-9-1, section 1.8, and RabbitMQ's extensions. */
import { randomBytes } from 'node:crypto'
import type { Channel, Method, Subscription } from './channel.ts'
import type { Consumer } from './consumer.ts'
import { AmqpException, named, notImplemented } from './exceptions.ts'
import { type FieldTable, integerIn } from './field-table.ts'
import { keysIn, type Message, checkProperties, readKnown, withHeaders } from './message.ts'
import { deliveryOf, shownMessage } from './hooks.ts'
import type { Queue, QueueEntry } from './queue.ts'
import { checkConsumerArguments } from './queue-arguments.ts'
import { queueNamed } from './queue-methods.ts'
import type { Reader } from './reader.ts'
import { type Group, requeue } from './settling.ts'
import { methodKey, MethodWriter } from './writer.ts'

const BASIC = 60
const DIRECT_REPLY = 'amq.rabbitmq.reply-to'

export const BASIC_METHODS: readonly (readonly [number, Method])[] = [
  [methodKeyOf(10), qos],
  [methodKeyOf(20), consume],
  [methodKeyOf(30), cancel],
  [methodKeyOf(70), get],
  [methodKeyOf(80), ack],
  [methodKeyOf(90), reject],
  [methodKeyOf(100), (channel, args) => recover(channel, args, false)],
  [methodKeyOf(110), (channel, args) => recover(channel, args, true)],
  [methodKeyOf(120), nack],
]

function methodKeyOf(id: number): number {
  return methodKey(BASIC, id)
}

function qos(channel: Channel, args: Reader): void {
  const size = args.uint32()
  const count = args.uint16()
  const shared = args.bits()(0)
  if (size !== 0) throw notImplemented(`prefetch_size!=0 (${size})`)
  // a limit for consumers undoes the one that they shared
  channel.sharedPrefetch = shared ? count : 0
  if (!shared) channel.prefetch = count
  channel.send(new MethodWriter(BASIC, 11))
  channel.fill()
}

function consume(channel: Channel, args: Reader): void {
  args.uint16()
  const queueName = args.name()
  const given = args.shortString()
  const bit = args.bits()
  const [noAck, exclusive, noWait] = [bit(1), bit(2), bit(3)]
  const table = args.table()
  if (queueName === DIRECT_REPLY) throw notImplemented('direct reply-to')
  const queue = queueNamed(channel, queueName)
  const tag = given === '' ? `amq.ctag-${randomBytes(16).toString('base64url')}` : given
  if (channel.subscriptions.has(tag)) throw new AmqpException(530, `attempt to reuse consumer tag '${tag}'`)
  const { vhost } = channel.host
  checkConsumerArguments(table, queue.name, vhost.name)
  if (queue.consumers.hasExclusive() || (exclusive && queue.consumers.size > 0))
    throw new AmqpException(403, `${named('queue', queue.name, vhost.name)} in exclusive use`)
  const subscription = subscriptionOf(channel, queue, {
    tag,
    noAck,
    exclusive,
    priority: integerIn(table.get('x-priority')) ?? 0,
    prefetch: noAck ? 0 : channel.prefetch,
    arguments: table,
  })
  channel.subscriptions.set(tag, subscription)
  if (!noWait) channel.send(new MethodWriter(BASIC, 21).shortString(tag))
  queue.add(subscription.consumer)
}

function subscriptionOf(
  channel: Channel,
  queue: Queue,
  options: Pick<Consumer, 'tag' | 'noAck' | 'exclusive' | 'priority' | 'prefetch' | 'arguments'>,
): Subscription {
  const { noAck, prefetch, tag } = options
  const { host } = channel
  const consumer: Consumer = {
    ...options,
    channelName: `${host.name} (${channel.number})`,
    hasRoom: () =>
      !host.congested && (noAck || ((prefetch === 0 || subscription.unsettled < prefetch) && channel.hasRoom())),
    deliver: (entry) => channel.deliver(entry, subscription),
    cancelled: () => {
      channel.subscriptions.delete(tag)
      if (host.takesCancel) channel.send(new MethodWriter(BASIC, 30).shortString(tag).uint8(1))
    },
  }
  const subscription: Subscription = { consumer, queue, unsettled: 0 }
  return subscription
}

function cancel(channel: Channel, args: Reader): void {
  const tag = args.shortString()
  const noWait = args.bits()(0)
  const subscription = channel.subscriptions.get(tag)
  channel.subscriptions.delete(tag)
  if (!noWait) channel.send(new MethodWriter(BASIC, 31).shortString(tag))
  subscription?.queue.remove(subscription.consumer)
}

function get(channel: Channel, args: Reader): void {
  args.uint16()
  const queue = queueNamed(channel, args.name())
  const noAck = args.bits()(0)
  const entry = queue.get()
  if (entry === undefined) channel.send(new MethodWriter(BASIC, 72).shortString(''))
  else channel.deliverGot(entry, noAck)
}

/** A message is there as a whole. The reader stands before the arguments of basic.publish. */
export function publish(channel: Channel, args: Reader, given: Buffer, body: Buffer): void {
  args.uint16()
  const exchange = args.shortString()
  const routingKey = args.shortString()
  const bit = args.bits()
  const [mandatory, immediate] = [bit(0), bit(1)]
  const { host } = channel
  if (immediate) throw notImplemented('immediate=true')
  host.vhost.checkPublish(exchange)
  checkProperties(given)
  const { headers, expiration, userId, replyTo } = readKnown(given)
  if (userId !== undefined && userId !== host.user)
    throw new AmqpException(406, `user_id property set to '${userId}' but authenticated user was '${host.user}'`)
  // replies straight to a consumer are not done here: nobody can consume them
  if (replyTo === DIRECT_REPLY) throw new AmqpException(406, 'fast reply consumer does not exist')
  const expirationMs = expirationIn(expiration)
  const keys = [routingKey, ...keysIn(headers, 'CC'), ...keysIn(headers, 'BCC')]
  const properties = headers.has('BCC') ? withHeaders(given, without(headers, 'BCC')) : given
  const message: Message = { exchange, routingKey, properties, body, expirationMs }
  const number = channel.numberOfPublished()
  const fault = host.vhost.hooks.onPublish?.(shownMessage(message))
  if (fault === 'drop-connection') host.drop()
  if (fault === 'nack') channel.confirm(number, false)
  if (fault !== undefined) return
  const { queues, kept } = host.vhost.publish(message, keys)
  if (queues === 0 && mandatory) channel.sendReturned(exchange, routingKey, properties, body)
  channel.confirm(number, kept)
}

function without(headers: FieldTable, name: string): FieldTable {
  return new Map([...headers].filter(([key]) => key !== name))
}

/** @throws AmqpException (406) when it is no whole number of milliseconds */
function expirationIn(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const digits = /^[+-]?\d+/.exec(text)?.[0]
  if (digits === undefined) throw new AmqpException(406, `invalid expiration '${text}': no_integer`)
  const rest = text.slice(digits.length)
  if (rest !== '') throw new AmqpException(406, `invalid expiration '${text}': {leftover_string,"${rest}"}`)
  const value = Number(digits)
  if (value < 0) throw new AmqpException(406, `invalid expiration '${text}': {value_negative,${value}}`)
  if (value > 0xffff_ffff) throw new AmqpException(406, `invalid expiration '${text}': {value_too_large,${digits}}`)
  return value
}

function ack(channel: Channel, args: Reader): void {
  const tag = args.uint64()
  const multiple = args.bits()(0)
  const groups = channel.taken(tag, multiple)
  if (groups.flat().some(({ entry }) => askedOfAck(channel, entry) === 'drop-connection')) {
    channel.settle(groups, requeue)
    channel.host.drop()
    return
  }
  channel.settle(groups, (group) => {
    for (const { entry } of group) entry.queue.settle(entry)
  })
}

function askedOfAck({ host }: Channel, entry: QueueEntry): 'drop-connection' | undefined {
  return host.vhost.hooks.onAck?.(deliveryOf(entry))
}

function reject(channel: Channel, args: Reader): void {
  const tag = args.uint64()
  refused(channel, channel.taken(tag, false), args.bits()(0))
}

function nack(channel: Channel, args: Reader): void {
  const tag = args.uint64()
  const bit = args.bits()
  refused(channel, channel.taken(tag, bit(0)), bit(1))
}

function refused(channel: Channel, groups: readonly Group[], again: boolean): void {
  channel.settle(groups, again ? requeue : (group) => buried(channel, group))
}

function buried({ host }: Channel, group: Group): void {
  for (const { entry } of group) {
    if (entry.queue.deleted) continue
    entry.queue.settle(entry)
    host.vhost.deadLetter(entry, 'rejected')
  }
}

function recover(channel: Channel, args: Reader, answered: boolean): void {
  if (!args.bits()(0)) throw notImplemented('requeue=false')
  if (answered) channel.send(new MethodWriter(BASIC, 111))
  channel.requeueAll()
}
