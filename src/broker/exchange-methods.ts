/** The methods of the class exchange. Source: AMQP 0-9-1, section 1.5, and RabbitMQ's extensions. */
import { type Channel, type Method } from './channel.ts'
import { AmqpException, named, notImplemented } from './exceptions.ts'
import { type Binding, type Exchange, isExchangeType } from './exchange.ts'
import { textIn, typeNameOf } from './field-table.ts'
import { checkSameArguments } from './queue-arguments.ts'
import type { Reader } from './reader.ts'
import { methodKey, MethodWriter } from './writer.ts'

const EXCHANGE = 40

export const EXCHANGE_METHODS: readonly (readonly [number, Method])[] = [
  [methodKeyOf(10), declare],
  [methodKeyOf(20), remove],
  [methodKeyOf(30), bind],
  [methodKeyOf(40), unbind],
]

function methodKeyOf(id: number): number {
  return methodKey(EXCHANGE, id)
}

function declare(channel: Channel, args: Reader): void {
  args.uint16()
  const name = args.name()
  const type = args.shortString()
  const bit = args.bits()
  const [passive, durable, autoDelete, internal, noWait] = [bit(0), bit(1), bit(2), bit(3), bit(4)]
  const table = args.table()
  const { vhost } = channel.host
  if (passive) {
    refuseDefault(name)
    vhost.exchange(name)
  } else {
    if (!isExchangeType(type)) throw new AmqpException(503, `unknown exchange type '${type}'`)
    refuseDefault(name)
    const present = vhost.exchanges.get(name)
    if (present !== undefined) checkSame(present, { type, durable, autoDelete, internal, arguments: table }, vhost.name)
    else {
      if (name.startsWith('amq.'))
        throw new AmqpException(403, `exchange name '${name}' contains reserved prefix 'amq.*'`)
      const alternate = table.get('alternate-exchange')
      if (alternate !== undefined && textIn(alternate) === undefined)
        throw new AmqpException(
          406,
          `invalid type '${typeNameOf(alternate)}' for arg 'alternate-exchange' in ${named('exchange', name, vhost.name)}`,
        )
      if (type === 'headers') throw notImplemented(`exchanges of type 'headers'`)
      vhost.addExchange(name, type, { durable, autoDelete, internal, arguments: table })
    }
  }
  if (!noWait) channel.send(new MethodWriter(EXCHANGE, 11))
}

function checkSame(present: Exchange, wanted: Exchange['options'] & { readonly type: string }, vhost: string): void {
  const what = named('exchange', present.name, vhost)
  const { durable, autoDelete, internal } = present.options
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['type', wanted.type, present.type],
    ['durable', wanted.durable, durable],
    ['auto_delete', wanted.autoDelete, autoDelete],
    ['internal', wanted.internal, internal],
  ]
  for (const [key, received, current] of pairs)
    if (received !== current)
      throw new AmqpException(
        406,
        `inequivalent arg '${key}' for ${what}: received '${String(received)}' but current is '${String(current)}'`,
      )
  checkSameArguments(what, present.options.arguments, wanted.arguments, ['alternate-exchange'])
}

function remove(channel: Channel, args: Reader): void {
  args.uint16()
  const name = args.name()
  const bit = args.bits()
  const [ifUnused, noWait] = [bit(0), bit(1)]
  const { vhost } = channel.host
  refuseDefault(name)
  if (name.startsWith('amq.'))
    throw new AmqpException(403, `deletion of system ${named('exchange', name, vhost.name)} not allowed`)
  const exchange = vhost.exchanges.get(name)
  if (exchange !== undefined) {
    if (ifUnused && exchange.bindings.length > 0)
      throw new AmqpException(406, `${named('exchange', name, vhost.name)} in use`)
    vhost.deleteExchange(exchange)
  }
  if (!noWait) channel.send(new MethodWriter(EXCHANGE, 21))
}

function bind(channel: Channel, args: Reader): void {
  const { binding, noWait } = readBinding(args)
  const { vhost } = channel.host
  refuseDefault(binding.source)
  refuseDefault(binding.destination)
  vhost.exchange(binding.destination)
  vhost.bind(binding)
  if (!noWait) channel.send(new MethodWriter(EXCHANGE, 31))
}

function unbind(channel: Channel, args: Reader): void {
  const { binding, noWait } = readBinding(args)
  refuseDefault(binding.source)
  refuseDefault(binding.destination)
  channel.host.vhost.unbind(binding)
  if (!noWait) channel.send(new MethodWriter(EXCHANGE, 51))
}

function readBinding(args: Reader): { readonly binding: Binding; readonly noWait: boolean } {
  args.uint16()
  const destination = args.name()
  const source = args.name()
  const routingKey = args.shortString()
  const noWait = args.bits()(0)
  return { binding: { source, destination, destinationKind: 'exchange', routingKey, arguments: args.table() }, noWait }
}

/** @throws AmqpException (403) */
export function refuseDefault(exchange: string): void {
  if (exchange === '') throw new AmqpException(403, 'operation not permitted on the default exchange')
}
