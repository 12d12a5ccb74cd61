/** The methods of the class queue. Source: AMQP 0-9-1, section 1.7, and RabbitMQ's extensions. */
import { type Channel, type Method } from './channel.ts'
import { AmqpException, named, notFound } from './exceptions.ts'
import { refuseDefault } from './exchange-methods.ts'
import type { Binding } from './exchange.ts'
import type { FieldTable } from './field-table.ts'
import type { Queue } from './queue.ts'
import { checkArguments, checkSameArguments } from './queue-arguments.ts'
import type { Reader } from './reader.ts'
import { methodKey, MethodWriter } from './writer.ts'

const QUEUE = 50

export const QUEUE_METHODS: readonly (readonly [number, Method])[] = [
  [methodKeyOf(10), declare],
  [methodKeyOf(20), bind],
  [methodKeyOf(30), purge],
  [methodKeyOf(40), remove],
  [methodKeyOf(50), unbind],
]

function methodKeyOf(id: number): number {
  return methodKey(QUEUE, id)
}

function declare(channel: Channel, args: Reader): void {
  args.uint16()
  const name = args.shortString()
  const bit = args.bits()
  const [passive, durable, exclusive, autoDelete, noWait] = [bit(0), bit(1), bit(2), bit(3), bit(4)]
  const table = args.table()
  const queue = passive
    ? queueNamed(channel, name)
    : declared(channel, name, { durable, exclusive, autoDelete, arguments: table })
  queue.used()
  channel.lastQueue = queue.name
  if (!noWait)
    channel.send(
      new MethodWriter(QUEUE, 11).shortString(queue.name).uint32(queue.readyCount).uint32(queue.consumers.size),
    )
}

interface Wanted {
  readonly durable: boolean
  readonly exclusive: boolean
  readonly autoDelete: boolean
  readonly arguments: FieldTable
}

function declared(channel: Channel, name: string, wanted: Wanted): Queue {
  const { vhost } = channel.host
  if (name !== '' && vhost.queues.has(name)) {
    const queue = vhost.queue(name, channel.host)
    checkSame(queue, wanted, vhost.name)
    return queue
  }
  if (name.startsWith('amq.')) throw new AmqpException(403, `queue name '${name}' contains reserved prefix 'amq.*'`)
  checkArguments(wanted.arguments, name, vhost.name)
  const { durable, autoDelete } = wanted
  const owner = wanted.exclusive ? channel.host : undefined
  return vhost.addQueue(name, { durable, autoDelete, owner, arguments: wanted.arguments })
}

function checkSame(queue: Queue, wanted: Wanted, vhost: string): void {
  const what = named('queue', queue.name, vhost)
  const { durable, autoDelete, owner } = queue.options
  const pairs: readonly (readonly [string, boolean, boolean])[] = [
    ['durable', wanted.durable, durable],
    ['auto_delete', wanted.autoDelete, autoDelete],
    ['exclusive', wanted.exclusive, owner !== undefined],
  ]
  for (const [key, received, current] of pairs)
    if (received !== current)
      throw new AmqpException(
        key === 'exclusive' ? 405 : 406,
        key === 'exclusive'
          ? `cannot obtain exclusive access to locked ${what}. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.`
          : `inequivalent arg '${key}' for ${what}: received '${received}' but current is '${current}'`,
      )
  checkSameArguments(what, queue.options.arguments, wanted.arguments)
}

function bind(channel: Channel, args: Reader): void {
  args.uint16()
  const { binding, noWait } = readBinding(channel, args, true)
  refuseDefault(binding.source)
  const { vhost } = channel.host
  vhost.queue(binding.destination, channel.host)
  vhost.bind(binding)
  if (!noWait) channel.send(new MethodWriter(QUEUE, 21))
}

function unbind(channel: Channel, args: Reader): void {
  args.uint16()
  const { binding } = readBinding(channel, args, false)
  refuseDefault(binding.source)
  const { vhost } = channel.host
  if (vhost.queues.has(binding.destination)) vhost.queue(binding.destination, channel.host)
  vhost.unbind(binding)
  channel.send(new MethodWriter(QUEUE, 51))
}

function readBinding(channel: Channel, args: Reader, hasNoWait: boolean): { binding: Binding; noWait: boolean } {
  const given = args.shortString()
  const source = args.shortString()
  const key = args.shortString()
  const noWait = hasNoWait && args.bits()(0)
  const destination = nameOf(channel, given)
  // neither queue nor key: the queue's name is the key as well
  const routingKey = given === '' && key === '' ? destination : key
  return { binding: { source, destination, destinationKind: 'queue', routingKey, arguments: args.table() }, noWait }
}

function purge(channel: Channel, args: Reader): void {
  args.uint16()
  const queue = queueNamed(channel, args.shortString())
  const noWait = args.bits()(0)
  const count = queue.purge()
  if (!noWait) channel.send(new MethodWriter(QUEUE, 31).uint32(count))
}

function remove(channel: Channel, args: Reader): void {
  args.uint16()
  const name = nameOf(channel, args.shortString())
  const bit = args.bits()
  const [ifUnused, ifEmpty, noWait] = [bit(0), bit(1), bit(2)]
  const { vhost } = channel.host
  let count = 0
  if (vhost.queues.has(name)) {
    const queue = vhost.queue(name, channel.host)
    if (ifUnused && queue.consumers.size > 0) throw new AmqpException(406, `${named('queue', name, vhost.name)} in use`)
    if (ifEmpty && queue.readyCount > 0) throw new AmqpException(406, `${named('queue', name, vhost.name)} not empty`)
    count = vhost.deleteQueue(queue)
  }
  if (!noWait) channel.send(new MethodWriter(QUEUE, 41).uint32(count))
}

/** @throws AmqpException (404) */
export function queueNamed(channel: Channel, given: string): Queue {
  return channel.host.vhost.queue(nameOf(channel, given), channel.host)
}

function nameOf(channel: Channel, given: string): string {
  const name = given === '' ? channel.lastQueue : given
  if (name === '') throw notFound('queue', '', channel.host.vhost.name)
  return name
}
