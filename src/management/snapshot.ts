/** What there is on a virtual host at one moment: queues, bindings, exchanges, consumers, connections, nodes. */
import { ManagementError } from '../errors.ts'
import { matches } from '../topology/match.ts'
import type { ManagementApi } from './api.ts'

export interface QueueFacts {
  readonly name: string
  readonly durable: boolean
  readonly exclusive: boolean
  /** `classic`, `quorum` or `stream`. */
  readonly type: string
  readonly arguments: Readonly<Record<string, unknown>>
  /** What the policies that apply to it say. */
  readonly policy: Readonly<Record<string, unknown>>
  readonly ready: number
  readonly unacknowledged: number
  readonly consumers: number
  /** Of quorum queues, where the broker has one of its own (20, from RabbitMQ 4.0 on). */
  readonly defaultDeliveryLimit?: number | undefined
}

export interface BindingFacts {
  /** The exchange; empty for the default exchange. */
  readonly source: string
  readonly destination: string
  readonly destinationType: string
  /** The routing key, or a pattern. */
  readonly key: string
}

export interface ExchangeFacts {
  readonly name: string
  readonly type: string
  readonly durable: boolean
}

export interface ConsumerFacts {
  readonly queue: string
  /** The broker's name of the connection. */
  readonly connection: string
}

export interface ConnectionFacts {
  /** The broker's name of the connection: both addresses. */
  readonly name: string
  /** The name that the client gave; empty for none. */
  readonly givenName: string
  readonly host: string
}

export interface NodeFacts {
  readonly name: string
  readonly running: boolean
  readonly memoryAlarm: boolean
  readonly diskAlarm: boolean
  /** Nodes that it was cut off from. */
  readonly partitions: readonly string[]
}

export interface Snapshot {
  readonly queues: readonly QueueFacts[]
  readonly bindings: readonly BindingFacts[]
  readonly exchanges: readonly ExchangeFacts[]
  readonly consumers: readonly ConsumerFacts[]
  readonly connections: readonly ConnectionFacts[]
  /** Undefined where the user may not see them. */
  readonly nodes: readonly NodeFacts[] | undefined
}

/** @throws ManagementError */
export async function takeSnapshot(api: ManagementApi): Promise<Snapshot> {
  const [queues, bindings, exchanges, consumers, connections, nodes] = await Promise.all([
    api.listOf('queues'),
    api.listOf('bindings'),
    api.listOf('exchanges'),
    api.listOf('consumers'),
    api.connections(),
    // the only thing for which seeing one virtual host is not enough
    api.nodes().catch(ifNotAllowed),
  ])
  return {
    queues: queues.map(queueOf),
    bindings: bindings.map(bindingOf),
    exchanges: exchanges.map(exchangeOf),
    consumers: consumers.map((consumer) => ({
      queue: text(part(consumer['queue'])['name']),
      connection: text(part(consumer['channel_details'])['connection_name']),
    })),
    connections: connections.map((connection) => ({
      name: text(connection['name']),
      givenName: text(part(connection['client_properties'])['connection_name']),
      host: text(connection['peer_host']),
    })),
    nodes: nodes?.map(nodeOf),
  }
}

/**
 * The delivery limit of a quorum queue.
 * @returns undefined for other queues, and where there is none
 * @throws ManagementError
 */
export async function quorumLimitOf(api: ManagementApi, queue: string): Promise<number | undefined> {
  const found = (await api.listOf('queues')).map(queueOf).find(({ name }) => name === queue)
  if (found?.type !== 'quorum') return undefined
  const limit = found.arguments['x-delivery-limit'] ?? found.policy['delivery-limit'] ?? found.defaultDeliveryLimit
  return typeof limit === 'number' ? limit : undefined
}

/** What of a snapshot says where messages go. */
export type Routes = Pick<Snapshot, 'bindings' | 'exchanges' | 'queues'>

/** Only what says where messages go. @throws ManagementError */
export async function takeRoutes(api: ManagementApi): Promise<Routes> {
  const [bindings, exchanges, queues] = await Promise.all([
    api.listOf('bindings'),
    api.listOf('exchanges'),
    api.listOf('queues'),
  ])
  return {
    bindings: bindings.map(bindingOf),
    exchanges: exchanges.map(exchangeOf),
    queues: queues.map(queueOf),
  }
}

/** The queues that a message would reach, in alphabetical order; bindings from exchange to exchange are followed. */
export function receiversOf(
  { bindings, exchanges }: Pick<Snapshot, 'bindings' | 'exchanges'>,
  exchange: string,
  routingKey: string,
): readonly string[] {
  const types = new Map(exchanges.map(({ name, type }) => [name, type]))
  const seen = new Set<string>()
  const queues = new Set<string>()
  const follow = (source: string): void => {
    if (seen.has(source)) return
    seen.add(source)
    const type = source === '' ? 'direct' : (types.get(source) ?? 'topic')
    for (const binding of bindings) {
      if (binding.source !== source || !takes(type, binding.key, routingKey)) continue
      if (binding.destinationType === 'queue') queues.add(binding.destination)
      else follow(binding.destination)
    }
  }
  follow(exchange)
  return [...queues].toSorted()
}

function takes(exchangeType: string, key: string, routingKey: string): boolean {
  if (exchangeType === 'topic') return matches(key, routingKey)
  if (exchangeType === 'direct') return key === routingKey
  // fanout; and of exchanges that look at headers nobody can tell
  return true
}

function ifNotAllowed(error: unknown): undefined {
  if (!(error instanceof ManagementError)) throw error
}

function queueOf(queue: Record<string, unknown>): QueueFacts {
  return {
    name: text(queue['name']),
    durable: queue['durable'] === true,
    exclusive: queue['exclusive'] === true,
    type: text(queue['type']) || 'classic',
    arguments: part(queue['arguments']),
    policy: part(queue['effective_policy_definition']),
    ready: number(queue['messages_ready']),
    unacknowledged: number(queue['messages_unacknowledged']),
    consumers: number(queue['consumers']),
    defaultDeliveryLimit: typeof queue['delivery_limit'] === 'number' ? queue['delivery_limit'] : undefined,
  }
}

function exchangeOf({ name, type, durable }: Record<string, unknown>): ExchangeFacts {
  return { name: text(name), type: text(type), durable: durable === true }
}

function bindingOf(binding: Record<string, unknown>): BindingFacts {
  return {
    source: text(binding['source']),
    destination: text(binding['destination']),
    destinationType: text(binding['destination_type']),
    key: text(binding['routing_key']),
  }
}

function nodeOf(node: Record<string, unknown>): NodeFacts {
  const partitions: unknown = node['partitions']
  return {
    name: text(node['name']),
    running: node['running'] !== false,
    memoryAlarm: node['mem_alarm'] === true,
    diskAlarm: node['disk_free_alarm'] === true,
    partitions: Array.isArray(partitions) ? partitions.map(text) : [],
  }
}

/** An object; an empty one for anything else, lists (the API's empty objects) included. */
function part(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** Of a queue that is new the API has no numbers yet. */
function number(value: unknown): number {
  return typeof value === 'number' ? value : 0
}
