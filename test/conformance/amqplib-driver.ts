/** Says with amqplib what a scenario asks for, through its public API alone but for cutting the socket. */
import { createHash } from 'node:crypto'
import { Duplex } from 'node:stream'
import amqp, { type Channel, type ChannelModel, type Message, type MessageProperties } from 'amqplib'
import type { ConnectOptions, Driver, Frame, Method, Peer, Properties, Requests, Table, Value } from './vocabulary.ts'
import { shownBody } from './vocabulary.ts'

type OnEvent = (channel: string, event: Frame) => void

export function amqplibDriver(): Driver {
  return { name: 'amqplib', connect, async [Symbol.asyncDispose]() {} }
}

async function connect(options: ConnectOptions, onEvent: OnEvent): Promise<Peer | Frame> {
  const url = new URL(options.url)
  for (const name of ['frameMax', 'channelMax', 'heartbeat'] as const) {
    const value = options[name]
    if (value !== undefined) url.searchParams.set(name, String(value))
  }
  if (options.heartbeat === undefined) url.searchParams.set('heartbeat', '0')
  try {
    return new AmqplibPeer(await amqp.connect(url.href, { noDelay: true }), onEvent)
  } catch (error) {
    const [, code, text] = /: (\d+) \(.*?\) with message "(.*)"$/s.exec(String(error)) ?? []
    if (code === undefined) return { method: 'lost' }
    return { method: 'connection.close', reply_code: Number(code), reply_text: text ?? '' }
  }
}

class AmqplibPeer implements Peer {
  readonly #model: ChannelModel
  readonly #onEvent: OnEvent
  readonly #channels = new Map<string, Channel>()

  constructor(model: ChannelModel, onEvent: OnEvent) {
    this.#model = model
    this.#onEvent = onEvent
    model.on('error', (error: Error) => onEvent('', closeFrame('connection', error)))
    model.on('blocked', (reason) => onEvent('', { method: 'connection.blocked', reason }))
    model.on('unblocked', () => onEvent('', { method: 'connection.unblocked' }))
  }

  async open(label: string, { confirm }: { readonly confirm: boolean }): Promise<Frame> {
    let channel: Channel
    try {
      channel = confirm ? await this.#model.createConfirmChannel() : await this.#model.createChannel()
    } catch {
      return { method: 'closed' }
    }
    this.#channels.set(label, channel)
    const tell = (event: Frame): void => this.#onEvent(label, event)
    channel.on('error', (error: Error) => tell(closeFrame('channel', error)))
    channel.on('return', (message) => tell(contentFrame('basic.return', message)))
    channel.on('cancel', ({ consumerTag }) => tell({ method: 'basic.cancel', consumer_tag: consumerTag }))
    channel.on('ack', ({ deliveryTag, multiple }) => tell({ method: 'basic.ack', delivery_tag: deliveryTag, multiple }))
    channel.on('nack', ({ deliveryTag, multiple }) =>
      tell({ method: 'basic.nack', delivery_tag: deliveryTag, multiple }),
    )
    return { method: confirm ? 'confirm.select-ok' : 'channel.open-ok' }
  }

  async request<M extends Method>(label: string, method: M, fields: Requests[M]): Promise<Frame> {
    const channel = this.#channels.get(label)
    if (channel === undefined) throw new Error(`no channel '${label}'`)
    const tell = (event: Frame): void => this.#onEvent(label, event)
    try {
      return await saying[method](channel, fields, tell)
    } catch {
      // the reason has come as an event of the channel or of its connection
      return { method: 'closed' }
    }
  }

  async close(): Promise<void> {
    await this.#model.close().catch(() => {})
  }

  async drop(): Promise<void> {
    const { connection } = this.#model
    if (!('stream' in connection) || !(connection.stream instanceof Duplex)) throw new Error('amqplib hides its socket')
    connection.stream.destroy(new Error('cut'))
  }
}

type Saying = {
  readonly [M in Method]: (channel: Channel, fields: Requests[M], tell: (event: Frame) => void) => Promise<Frame>
}

const saying: Saying = {
  'channel.close': async (channel) => done('channel.close-ok', channel.close()),
  'channel.flow': unsupported('channel.flow'),
  'tx.select': unsupported('tx.select'),
  'exchange.declare': async (channel, { exchange, passive = false, type = '', ...fields }) => {
    if (passive) return done('exchange.declare-ok', channel.checkExchange(exchange))
    const { durable = false, auto_delete: autoDelete = false, internal = false } = fields
    const options = { durable, autoDelete, internal, arguments: tableIn(fields.arguments) }
    return done('exchange.declare-ok', channel.assertExchange(exchange, type, options))
  },
  'exchange.delete': async (channel, { exchange, if_unused: ifUnused = false }) =>
    done('exchange.delete-ok', channel.deleteExchange(exchange, { ifUnused })),
  'exchange.bind': async (channel, { destination, source, routing_key: key = '', arguments: table }) =>
    done('exchange.bind-ok', channel.bindExchange(destination, source, key, tableIn(table))),
  'exchange.unbind': async (channel, { destination, source, routing_key: key = '', arguments: table }) =>
    done('exchange.unbind-ok', channel.unbindExchange(destination, source, key, tableIn(table))),
  'queue.declare': async (channel, { queue = '', passive = false, ...fields }) => {
    const { durable = false, exclusive = false, auto_delete: autoDelete = false } = fields
    const options = { durable, exclusive, autoDelete, arguments: tableIn(fields.arguments) }
    const ok = await (passive ? channel.checkQueue(queue) : channel.assertQueue(queue, options))
    const counts = { message_count: ok.messageCount, consumer_count: ok.consumerCount }
    return { method: 'queue.declare-ok', queue: ok.queue, ...counts }
  },
  'queue.bind': async (channel, { queue, exchange, routing_key: key = '', arguments: table }) =>
    done('queue.bind-ok', channel.bindQueue(queue, exchange, key, tableIn(table))),
  'queue.unbind': async (channel, { queue, exchange, routing_key: key = '', arguments: table }) =>
    done('queue.unbind-ok', channel.unbindQueue(queue, exchange, key, tableIn(table))),
  'queue.purge': async (channel, { queue }) => {
    const { messageCount } = await channel.purgeQueue(queue)
    return { method: 'queue.purge-ok', message_count: messageCount }
  },
  'queue.delete': async (channel, { queue, if_unused: ifUnused = false, if_empty: ifEmpty = false }) => {
    const { messageCount } = await channel.deleteQueue(queue, { ifUnused, ifEmpty })
    return { method: 'queue.delete-ok', message_count: messageCount }
  },
  'basic.qos': async (channel, { prefetch_count: count, global = false }) =>
    done('basic.qos-ok', channel.prefetch(count, global)),
  'basic.consume': async (channel, { queue, consumer_tag: consumerTag, ...fields }, tell) => {
    const { no_ack: noAck = false, exclusive = false } = fields
    const options = { consumerTag, noAck, exclusive, arguments: tableIn(fields.arguments) }
    const take = (message: Message | null): void => {
      if (message !== null) tell(contentFrame('basic.deliver', message))
    }
    const ok = await channel.consume(queue, take, options)
    return { method: 'basic.consume-ok', consumer_tag: ok.consumerTag }
  },
  'basic.cancel': async (channel, { consumer_tag: consumerTag }) => {
    const ok = await channel.cancel(consumerTag)
    return { method: 'basic.cancel-ok', consumer_tag: ok.consumerTag }
  },
  'basic.publish': async (channel, { exchange = '', routing_key: key = '', mandatory = false, ...content }) => {
    channel.publish(exchange, key, Buffer.from(content.body ?? ''), { mandatory, ...propertiesIn(content.properties) })
    return { method: 'none' }
  },
  'basic.get': async (channel, { queue, no_ack: noAck = false }) => {
    const message = await channel.get(queue, { noAck })
    return message === false ? { method: 'basic.get-empty' } : contentFrame('basic.get-ok', message)
  },
  'basic.ack': async (channel, { delivery_tag: tag, multiple = false }) =>
    sent(() => channel.ack(tagged(tag), multiple)),
  'basic.nack': async (channel, { delivery_tag: tag, multiple = false, requeue }) =>
    sent(() => channel.nack(tagged(tag), multiple, requeue)),
  'basic.reject': async (channel, { delivery_tag: tag, requeue }) => sent(() => channel.reject(tagged(tag), requeue)),
  'basic.recover': async (channel, { requeue }) =>
    requeue ? done('basic.recover-ok', channel.recover()) : { method: 'unsupported' },
}

function unsupported(method: string): () => Promise<Frame> {
  return async () => {
    throw new Error(`amqplib has no ${method}: give the scenario to pika alone`)
  }
}

async function done(method: string, answer: Promise<unknown>): Promise<Frame> {
  await answer
  return { method }
}

async function sent(send: () => void): Promise<Frame> {
  send()
  return { method: 'none' }
}

function closeFrame(kind: 'channel' | 'connection', error: Error): Frame {
  if (!('code' in error) || typeof error.code !== 'number') return { method: 'lost' }
  const [, text] = /with message "(.*)"$/s.exec(error.message) ?? []
  return { method: `${kind}.close`, reply_code: error.code, reply_text: text ?? error.message }
}

function contentFrame(method: string, { fields, properties, content }: Message): Frame {
  const own = Object.entries(fields).filter(([, value]) => value !== undefined)
  const given = Object.entries(properties).filter(([, value]) => value !== undefined)
  return {
    method,
    ...Object.fromEntries(own.map(([name, value]) => [inAmqp(name), valueOut(value)])),
    properties: Object.fromEntries(given.map(([name, value]) => [inAmqp(name), valueOut(value)])),
    body: shownBody(content, (bytes) => createHash('sha256').update(bytes).digest('hex')),
  }
}

function inAmqp(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function propertiesIn(given: Properties = {}): Record<string, unknown> {
  const { headers, ...others } = given
  const named = Object.entries(others).map(([name, value]) => [
    name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
    value,
  ])
  return { ...Object.fromEntries(named), ...(headers === undefined ? {} : { headers: tableIn(headers) }) }
}

function tableIn(table: Table = {}): Record<string, unknown> {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, valueIn(value)]))
}

function valueIn(value: Value): unknown {
  if (Array.isArray(value)) return value.map(valueIn)
  if (typeof value !== 'object' || value === null) return value
  if ('!timestamp' in value) return { '!': 'timestamp', value: value['!timestamp'] }
  if ('!bytes' in value) return Buffer.from(value['!bytes'] as string, 'base64')
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, valueIn(one)]))
}

function valueOut(value: unknown): Value {
  if (Buffer.isBuffer(value)) return { '!bytes': value.toString('base64') }
  if (Array.isArray(value)) return value.map(valueOut)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  if (typeof value !== 'object' || value === null) return null
  if ('!' in value && 'value' in value) return { [`!${String(value['!'])}`]: valueOut(value.value) }
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, valueOut(one)]))
}

/** A message as acknowledging wants it: of whose fields amqplib sends the tag alone. */
function tagged(deliveryTag: number): Message {
  const properties: MessageProperties = {
    contentType: undefined,
    contentEncoding: undefined,
    headers: undefined,
    deliveryMode: undefined,
    priority: undefined,
    correlationId: undefined,
    replyTo: undefined,
    expiration: undefined,
    messageId: undefined,
    timestamp: undefined,
    type: undefined,
    userId: undefined,
    appId: undefined,
    clusterId: undefined,
  }
  return {
    content: Buffer.alloc(0),
    fields: { deliveryTag, redelivered: false, exchange: '', routingKey: '' },
    properties,
  }
}
