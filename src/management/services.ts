/** Who is on the bus: logical services with their workers, queues and subscriptions, as the broker knows them. */
import { EXCHANGES, serviceOfQueue } from '../topology/names.ts'
import type { Snapshot } from './snapshot.ts'

export interface ServiceFacts {
  /** The logical service. */
  readonly name: string
  /** Processes that are connected. */
  readonly workers: number
  /** Its queues, those that vanish with a worker included. */
  readonly queues: readonly string[]
  /** Messages that wait in its queues. */
  readonly ready: number
  /** Messages that its workers have in hand. */
  readonly unacknowledged: number
  /** Keys and patterns of events. */
  readonly events: readonly string[]
  /** Keys and patterns of commands and results. */
  readonly commands: readonly string[]
  readonly configurations: readonly string[]
}

const SUBSCRIPTIONS = {
  [EXCHANGES.event]: 'events',
  [EXCHANGES.command]: 'commands',
  [EXCHANGES.configuration]: 'configurations',
} as const

/** The services, in alphabetical order. */
export function servicesOf(snapshot: Snapshot): readonly ServiceFacts[] {
  const owners = ownersOf(snapshot)
  const names = new Set([...owners.queues.values(), ...owners.connections.values()])
  return [...names].toSorted().map((name) => serviceFacts(name, snapshot, owners))
}

interface Owners {
  /** The service of a queue. */
  readonly queues: ReadonlyMap<string, string>
  /** The service of a connection. */
  readonly connections: ReadonlyMap<string, string>
}

/** Queues by their names; connections by what they consume, or by the name that they were given; other queues by who consumes them. */
function ownersOf({ queues, consumers, connections }: Snapshot): Owners {
  const queueOwners = new Map<string, string>()
  for (const { name, exclusive } of queues) {
    const service = exclusive ? undefined : serviceOfQueue(name)
    if (service !== undefined) queueOwners.set(name, service)
  }
  const connectionOwners = new Map<string, string>()
  for (const { name, givenName } of connections) {
    const service = workerOf(givenName)?.service
    if (service !== undefined) connectionOwners.set(name, service)
  }
  for (const { queue, connection } of consumers) {
    const service = queueOwners.get(queue)
    if (service !== undefined) connectionOwners.set(connection, service)
  }
  for (const { queue, connection } of consumers) {
    const service = connectionOwners.get(connection)
    if (service !== undefined && !queueOwners.has(queue)) queueOwners.set(queue, service)
  }
  return { queues: queueOwners, connections: connectionOwners }
}

function serviceFacts(service: string, { queues, bindings, connections }: Snapshot, owners: Owners): ServiceFacts {
  const own = queues.filter(({ name }) => owners.queues.get(name) === service)
  const subscriptions = { events: new Set<string>(), commands: new Set<string>(), configurations: new Set<string>() }
  for (const { source, destination, key } of bindings) {
    if (owners.queues.get(destination) !== service || !Object.hasOwn(SUBSCRIPTIONS, source)) continue
    subscriptions[SUBSCRIPTIONS[source as keyof typeof SUBSCRIPTIONS]].add(key)
  }
  const workers = connections
    .filter(({ name }) => owners.connections.get(name) === service)
    .map(({ name, givenName, host }) => {
      const worker = workerOf(givenName)
      // a worker of ours has two connections
      return worker === undefined ? name : `${worker.pid} on ${host}`
    })
  return {
    name: service,
    workers: new Set(workers).size,
    queues: own.map(({ name }) => name).toSorted(),
    ready: own.reduce((sum, { ready }) => sum + ready, 0),
    unacknowledged: own.reduce((sum, { unacknowledged }) => sum + unacknowledged, 0),
    events: [...subscriptions.events].toSorted(),
    commands: [...subscriptions.commands].toSorted(),
    configurations: [...subscriptions.configurations].toSorted(),
  }
}

/** What the name of a connection says, where it is one of ours: `service@pid (consume)`. */
function workerOf(givenName: string): { service: string; pid: string } | undefined {
  const [, service, pid] = /^(.+)@(\d+) \((?:consume|publish)\)$/.exec(givenName) ?? []
  return service === undefined || pid === undefined ? undefined : { service, pid }
}
