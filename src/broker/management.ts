/**
 * The part of RabbitMQ's management API that `eventail` itself and simple scripts use: what there is in a virtual host, virtual hosts, policies,
 * and closing a connection. Over HTTP, for the user `guest`. Anything else is answered with 501.
 * Source: the reference of RabbitMQ's management API, at /api on each of its management ports.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, BlockList, isIP } from 'node:net'
import { InvalidSettingError } from '../errors.ts'
import { byteString, readable } from './byte-string.ts'
import type { Connection } from './connection.ts'
import type { DevBroker } from './dev-broker.ts'
import { AmqpException } from './exceptions.ts'
import { plainTable } from './field-table.ts'
import type { Policy } from './policy.ts'
import type { Queue } from './queue.ts'
import type { VirtualHost } from './virtual-host.ts'

/** Answers with an object, or does something; the path's parts are decoded. */
type Answer = (broker: DevBroker, parts: readonly string[], body: Readonly<Record<string, unknown>>) => unknown

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8)
LOOPBACK.addAddress('::1', 'ipv6')
const AUTHORIZATION = `Basic ${Buffer.from('guest:guest').toString('base64')}`
const MOST_BODY_BYTES = 65_536

/** By method and path; `*` is one part. */
const ROUTES: readonly (readonly [route: string, answer: Answer])[] = [
  ['GET nodes', (broker) => [{ name: 'development', running: true, mem_alarm: broker.memoryAlarm, partitions: [] }]],
  ['GET vhosts', (broker) => broker.vhosts().map(({ name }) => ({ name }))],
  ['PUT vhosts/*', (broker, [, name = '']) => broker.addVhost(name)],
  ['DELETE vhosts/*', (broker, [, name = '']) => broker.deleteVhost(name)],
  // there is one user, who may do everything
  ['PUT permissions/*/guest', () => undefined],
  ['GET queues/*', (broker, parts) => listed(vhostOf(broker, parts), 'queues')],
  ['GET exchanges/*', (broker, parts) => listed(vhostOf(broker, parts), 'exchanges')],
  ['GET bindings/*', (broker, parts) => listed(vhostOf(broker, parts), 'bindings')],
  ['GET consumers/*', (broker, parts) => listed(vhostOf(broker, parts), 'consumers')],
  ['GET policies/*', (broker, parts) => policiesOf(vhostOf(broker, parts))],
  ['GET queues/*/*', (broker, parts) => queueOf(vhostOf(broker, parts), queueNamed(broker, parts))],
  ['GET queues/*/*/bindings', (broker, parts) => bindingsTo(vhostOf(broker, parts), byteString(parts[2] ?? ''))],
  ['DELETE queues/*/*', (broker, parts) => void vhostOf(broker, parts).deleteQueue(queueNamed(broker, parts))],
  ['PUT policies/*/*', setPolicy],
  ['DELETE policies/*/*', (broker, [, vhost = '', name = '']) => broker.clearPolicy(vhost, name)],
  ['GET connections', (broker) => broker.connections().map(connectionOf)],
  ['GET vhosts/*/connections', (broker, parts) => connectionsOf(broker, vhostOf(broker, parts)).map(connectionOf)],
  ['DELETE connections/*', closeConnection],
]

class NotFound extends Error {}

/** Serves the API of a broker. @throws InvalidSettingError when it cannot listen there */
export async function serveManagement(broker: DevBroker, host: string, port: number): Promise<Management> {
  const server = createServer((request, response) => {
    void answer(broker, host, request, response)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new InvalidSettingError('managementPort', `${port} of ${host} cannot be used: ${error.message}`)),
    )
    server.listen(port, host, resolve)
  })
  return new Management(server, host)
}

export class Management {
  readonly url: string
  readonly #server: Server

  constructor(server: Server, host: string) {
    this.#server = server
    const address: AddressInfo | string | null = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    this.url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }
}

/** @param own the name that it was told to listen at */
async function answer(
  broker: DevBroker,
  own: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    if (isOfWebPage(request, own)) {
      const reason = `'${request.headers.host}' is no name of the development broker: ask it as 127.0.0.1 or localhost`
      respond(response, 403, { error: 'forbidden', reason })
      return
    }
    if (request.headers.authorization !== AUTHORIZATION) {
      respond(response, 401, { error: 'not_authorised', reason: 'Login failed' })
      return
    }
    const path = (request.url ?? '').split('?')[0] ?? ''
    const parts = path
      .replace(/^\/api\//, '')
      .split('/')
      .map(decodeURIComponent)
    const found = ROUTES.find(([route]) => fits(route, request.method ?? '', parts))
    if (found === undefined) {
      respond(response, 501, {
        error: 'not implemented',
        reason: `the development broker has no ${request.method} ${path}`,
      })
      return
    }
    const result = found[1](broker, parts, await bodyOf(request))
    respond(response, result === undefined ? 204 : 200, result)
  } catch (error) {
    const reason = byteString(error instanceof Error ? error.message : String(error))
    respond(response, error instanceof NotFound ? 404 : 400, { error: 'bad_request', reason })
  }
}

/**
 * Whether the browser of this machine may have been made to ask: a web page can have its own name lead to this machine (DNS rebinding), and
 * everybody knows the password.
 */
function isOfWebPage({ headers: { host = '' }, socket }: IncomingMessage, own: string): boolean {
  const { localAddress = '', localFamily } = socket
  if (!LOOPBACK.check(localAddress, localFamily === 'IPv6' ? 'ipv6' : 'ipv4')) return false
  const name = host
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase()
  return isIP(name) === 0 && name !== 'localhost' && name !== own.toLowerCase()
}

function fits(route: string, method: string, parts: readonly string[]): boolean {
  const [wanted, path = ''] = route.split(' ')
  const pattern = path.split('/')
  return (
    wanted === method &&
    pattern.length === parts.length &&
    pattern.every((part, index) => part === '*' || part === parts[index])
  )
}

/** @throws Error when it is too large, or no JSON object */
async function bodyOf(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  let text = ''
  for await (const chunk of request) {
    text += String(chunk)
    if (text.length > MOST_BODY_BYTES) throw new Error('the body is too large')
  }
  const body: unknown = text === '' ? {} : JSON.parse(text)
  if (typeof body !== 'object' || body === null) throw new Error('the body must be a JSON object')
  return body as Record<string, unknown>
}

function respond(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(
    body === undefined
      ? undefined
      : JSON.stringify(body, (_key, value: unknown) => (typeof value === 'string' ? readable(value) : value)),
  )
}

function vhostOf(broker: DevBroker, parts: readonly string[]): VirtualHost {
  const vhost = broker.vhosts().find(({ name }) => name === byteString(parts[1] ?? ''))
  if (vhost === undefined) throw new NotFound(`there is no virtual host '${parts[1]}'`)
  return vhost
}

function queueNamed(broker: DevBroker, parts: readonly string[]): Queue {
  const queue = vhostOf(broker, parts).queues.get(byteString(parts[2] ?? ''))
  if (queue === undefined) throw new NotFound(`there is no queue '${parts[2]}'`)
  return queue
}

function listed(vhost: VirtualHost, kind: 'queues' | 'exchanges' | 'bindings' | 'consumers'): readonly object[] {
  const queues = [...vhost.queues.values()]
  if (kind === 'queues') return queues.map((queue) => queueOf(vhost, queue))
  if (kind === 'bindings') return allBindings(vhost)
  if (kind === 'consumers') return queues.flatMap((queue) => consumersOf(vhost, queue))
  return Array.from(vhost.exchanges.values(), ({ name, type, options }) => ({
    name,
    vhost: vhost.name,
    type,
    durable: options.durable,
    auto_delete: options.autoDelete,
    internal: options.internal,
    arguments: plainTable(options.arguments),
  }))
}

function queueOf(vhost: VirtualHost, queue: Queue): object {
  const { durable, autoDelete, owner, arguments: args } = queue.options
  const policy = vhost.policyOf('queues', queue.name)
  return {
    name: queue.name,
    vhost: vhost.name,
    type: 'classic',
    durable,
    auto_delete: autoDelete,
    exclusive: owner !== undefined,
    arguments: plainTable(args),
    policy: policy?.name ?? '',
    effective_policy_definition: policy?.definition ?? {},
    messages: queue.readyCount + queue.unacknowledgedCount,
    messages_ready: queue.readyCount,
    messages_unacknowledged: queue.unacknowledgedCount,
    consumers: queue.consumers.size,
    state: 'running',
  }
}

function allBindings(vhost: VirtualHost): readonly object[] {
  const implied = Array.from(vhost.queues.keys(), (name) => bindingOf(vhost, '', name, 'queue', name, {}))
  const own = [...vhost.exchanges.values()].flatMap(({ name, bindings }) =>
    bindings.map(({ destination, destinationKind, routingKey, arguments: args }) =>
      bindingOf(vhost, name, destination, destinationKind, routingKey, plainTable(args)),
    ),
  )
  return [...implied, ...own]
}

function bindingOf(
  vhost: VirtualHost,
  source: string,
  destination: string,
  kind: 'queue' | 'exchange',
  key: string,
  args: Record<string, unknown>,
): Record<string, unknown> {
  return {
    source,
    vhost: vhost.name,
    destination,
    destination_type: kind,
    routing_key: key,
    arguments: args,
    properties_key: key === '' ? '~' : encodeURIComponent(readable(key)),
  }
}

function bindingsTo(vhost: VirtualHost, queue: string): readonly object[] {
  return allBindings(vhost).filter(
    (binding) =>
      'destination' in binding &&
      binding.destination === queue &&
      'destination_type' in binding &&
      binding.destination_type === 'queue',
  )
}

function consumersOf(vhost: VirtualHost, queue: Queue): readonly object[] {
  return queue.consumers.all().map((consumer) => ({
    queue: { name: queue.name, vhost: vhost.name },
    consumer_tag: consumer.tag,
    ack_required: !consumer.noAck,
    exclusive: consumer.exclusive,
    prefetch_count: consumer.prefetch,
    arguments: plainTable(consumer.arguments),
    channel_details: { name: consumer.channelName, connection_name: consumer.channelName.replace(/ \(\d+\)$/, '') },
  }))
}

function policiesOf(vhost: VirtualHost): readonly object[] {
  return vhost.policies().map(({ name, pattern, definition, applyTo = 'all', priority = 0 }) => ({
    vhost: vhost.name,
    name,
    pattern,
    definition,
    'apply-to': applyTo,
    priority,
  }))
}

function setPolicy(
  broker: DevBroker,
  [, vhost = '', name = '']: readonly string[],
  body: Readonly<Record<string, unknown>>,
): void {
  const { pattern, definition, priority = 0, 'apply-to': applyTo = 'all' } = body
  if (typeof pattern !== 'string') throw new Error(`policy '${name}': 'pattern' must be a string`)
  if (typeof priority !== 'number') throw new Error(`policy '${name}': 'priority' must be a number`)
  if (typeof definition !== 'object' || definition === null || Array.isArray(definition))
    throw new Error(`policy '${name}': 'definition' must be an object`)
  if (!isScope(applyTo))
    throw new Error(`policy '${name}': 'apply-to' must be 'all', 'queues', 'classic_queues' or 'exchanges'`)
  broker.setPolicy({
    vhost,
    name,
    pattern,
    definition: definition as Record<string, unknown>,
    applyTo,
    priority,
  })
}

function isScope(value: unknown): value is Exclude<Policy['applyTo'], undefined> {
  return value === 'all' || value === 'queues' || value === 'classic_queues' || value === 'exchanges'
}

function connectionsOf(broker: DevBroker, vhost: VirtualHost): readonly Connection[] {
  return broker.connections().filter((connection) => connection.vhost === vhost)
}

function connectionOf(connection: Connection): object {
  const [peer = ''] = connection.name.split(' -> ')
  return {
    name: connection.name,
    vhost: connection.vhost.name,
    user: connection.user,
    state: connection.isBlocked ? 'blocked' : 'running',
    channels: connection.channels.size,
    connected_at: connection.connectedAtMs,
    peer_host: peer.replace(/:\d+$/, ''),
    client_properties: plainTable(connection.clientProperties),
  }
}

function closeConnection(broker: DevBroker, [, name = '']: readonly string[]): void {
  const connection = broker.connections().find((one) => one.name === name)
  if (connection === undefined) throw new NotFound(`there is no connection '${name}'`)
  connection.closeFor(new AmqpException(320, 'Closed via management plugin'))
}
