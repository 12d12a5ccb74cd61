/**
 * What is wrong with a bus, from a snapshot of it: one finding for each thing, with the mend.
 *
 * A problem loses messages or keeps them from being handled, now or at the next failure; a note is worth knowing.
 */
import { EXCHANGES, isPattern, serviceOfQueue } from '../topology/names.ts'
import { type BrokerUrl, isExposed } from '../transport/broker-url.ts'
import { type BindingFacts, type QueueFacts, receiversOf, type Snapshot } from './snapshot.ts'
import { counted } from '../wire/text.ts'

export interface Finding {
  readonly severity: 'problem' | 'note'
  /** Queue, exchange or node. */
  readonly subject: string
  readonly problem: string
  /** What to do. */
  readonly mend: string
}

export interface DiagnosisOptions {
  readonly snapshot: Snapshot
  readonly broker: BrokerUrl
  /** How many letters came into dead-letter queues while they were watched, and for how long that was. */
  readonly growth?: { readonly letters: ReadonlyMap<string, number>; readonly seconds: number }
}

/** A failed message is delivered once more: with a lower limit it never is. */
const LEAST_DELIVERY_LIMIT = 1
/** Handlers may well take this long. */
const LEAST_CONSUMER_TIMEOUT_MS = 60_000
const DLX_POLICY = `rabbitmqctl set_policy DLX ".*\\.events|.*\\.commands" '{"dead-letter-exchange":"am-dlx"}' --apply-to queues`

/** Everything that is found, problems first. */
export function diagnose(options: DiagnosisOptions): readonly Finding[] {
  const { snapshot } = options
  const findings = [
    ...ofUrl(options.broker),
    ...ofNodes(snapshot),
    ...ofExchanges(snapshot),
    ...snapshot.queues.filter(isServiceQueue).flatMap((queue) => ofServiceQueue(queue, snapshot)),
    ...ofDeadLetterExchanges(snapshot),
    ...ofDeadLetters(options),
    ...ofBindings(snapshot),
  ]
  return findings.toSorted((a, b) => Number(b.severity === 'problem') - Number(a.severity === 'problem'))
}

/** The queues in which the dead letters of services lie. */
export function deadLetterQueuesOf(snapshot: Pick<Snapshot, 'queues' | 'bindings'>): readonly string[] {
  const exchanges = new Set(snapshot.queues.map(deadLetterExchangeOf))
  const queues = snapshot.bindings
    .filter(({ source, destinationType }) => source !== '' && destinationType === 'queue' && exchanges.has(source))
    .map(({ destination }) => destination)
    // those of somebody who watches vanish with him, and nobody else can read them
    .filter((name) => snapshot.queues.some((queue) => queue.name === name && !queue.exclusive))
  return [...new Set(queues)].toSorted()
}

function isServiceQueue({ name, exclusive }: QueueFacts): boolean {
  return !exclusive && serviceOfQueue(name) !== undefined
}

/** What applies to a queue under this name: what its argument says, or else what a policy does. */
function settingOf({ arguments: own, policy }: QueueFacts, name: string): unknown {
  return own[`x-${name}`] ?? policy[name]
}

function deadLetterExchangeOf(queue: QueueFacts): string | undefined {
  const exchange = settingOf(queue, 'dead-letter-exchange')
  return typeof exchange === 'string' ? exchange : undefined
}

function problem(subject: string, text: string, mend: string): Finding {
  return { severity: 'problem', subject, problem: text, mend }
}

function note(subject: string, text: string, mend: string): Finding {
  return { severity: 'note', subject, problem: text, mend }
}

function ofUrl(broker: BrokerUrl): readonly Finding[] {
  if (!isExposed(broker)) return []
  return [problem(broker.shown, 'passwords and messages travel in clear text to another host', 'use amqps://')]
}

function ofNodes({ nodes = [] }: Snapshot): readonly Finding[] {
  return nodes.flatMap(({ name, running, memoryAlarm, diskAlarm, partitions }) => {
    const found: Finding[] = []
    if (!running) found.push(problem(name, 'the node is down', 'start it'))
    if (memoryAlarm)
      found.push(problem(name, 'is short of memory: publishers are blocked', 'drain the queues, or give it memory'))
    if (diskAlarm) found.push(problem(name, 'is short of disk: publishers are blocked', 'free disk space'))
    if (partitions.length > 0)
      found.push(problem(name, `is cut off from ${partitions.join(', ')}`, 'mend the network, then restart the node'))
    return found
  })
}

function ofExchanges({ exchanges }: Snapshot): readonly Finding[] {
  return Object.values(EXCHANGES).flatMap((name) => {
    const exchange = exchanges.find((candidate) => candidate.name === name)
    if (exchange === undefined)
      return [note(name, 'the exchange does not exist yet', 'nothing: the first service that starts declares it')]
    if (exchange.type === 'topic' && exchange.durable) return []
    const is = `is ${exchange.durable ? 'durable' : 'not durable'}, of type ${exchange.type}`
    return [
      problem(name, `the exchange ${is}: services are refused (406)`, 'delete it; services declare it as it must be'),
    ]
  })
}

function ofServiceQueue(queue: QueueFacts, snapshot: Snapshot): readonly Finding[] {
  const { name, consumers, ready, durable } = queue
  const found: Finding[] = []
  if (deadLetterExchangeOf(queue) === undefined)
    found.push(problem(name, 'has no dead-letter exchange: what fails twice is dropped', DLX_POLICY))
  if (consumers === 0)
    found.push(
      problem(
        name,
        `nobody consumes it, and ${ready} messages wait`,
        `start service '${serviceOfQueue(name)}', or delete the queue when the service is gone for good`,
      ),
    )
  const odd = Object.keys(queue.arguments).filter((key) => !(key === 'x-queue-type' && queue.type === 'classic'))
  if (!durable || odd.length > 0)
    found.push(
      problem(
        name,
        durable ? `was declared with arguments (${odd.join(', ')})` : 'is not durable',
        'workers that declare it without are refused (406): delete it once it is empty, and use policies instead',
      ),
    )
  found.push(...ofLimits(queue), ...ofForeignBindings(queue, snapshot.bindings))
  return found
}

function ofLimits(queue: QueueFacts): readonly Finding[] {
  const found: Finding[] = []
  const { name } = queue
  const deliveries = settingOf(queue, 'delivery-limit')
  if (typeof deliveries === 'number' && deliveries < LEAST_DELIVERY_LIMIT)
    found.push(
      problem(
        name,
        `its delivery limit is ${deliveries}: a message whose handler fails gets no second try`,
        `raise it to ${LEAST_DELIVERY_LIMIT} at least; 20 also survives restarts of workers`,
      ),
    )
  const timeout = settingOf(queue, 'consumer-timeout')
  if (typeof timeout === 'number' && timeout < LEAST_CONSUMER_TIMEOUT_MS)
    found.push(
      problem(
        name,
        `its consumer timeout is ${timeout} ms: a handler that takes longer loses its connection, and its message its one retry`,
        `raise it to ${LEAST_CONSUMER_TIMEOUT_MS} ms at least`,
      ),
    )
  const expires = settingOf(queue, 'expires')
  if (typeof expires === 'number')
    found.push(
      problem(
        name,
        `is deleted, with its messages, when nobody consumes it for ${expires} ms`,
        "take 'expires' out of the policy",
      ),
    )
  const ttl = settingOf(queue, 'message-ttl')
  if (typeof ttl === 'number')
    found.push(note(name, `messages that wait longer than ${ttl} ms die unhandled`, 'start enough workers'))
  const overflow = settingOf(queue, 'overflow')
  if (settingOf(queue, 'max-length') !== undefined || settingOf(queue, 'max-length-bytes') !== undefined)
    found.push(
      overflow === 'reject-publish'
        ? note(name, 'refuses messages when it is full: their publishers try again and wait', 'start enough workers')
        : note(name, 'pushes its oldest messages out when it is full: they die unhandled', 'start enough workers'),
    )
  return found
}

/** Bindings of commands for other services, and of a queue to the wrong exchange: left over, or a mistake. */
function ofForeignBindings({ name }: QueueFacts, bindings: readonly BindingFacts[]): readonly Finding[] {
  const service = serviceOfQueue(name)
  const own = name.endsWith('.events') ? EXCHANGES.event : EXCHANGES.command
  return bindings
    .filter(({ destination, source }) => destination === name && source !== '')
    .flatMap(({ source, key }) => {
      if (source !== own && Object.values<string>(EXCHANGES).includes(source))
        return [
          problem(
            name,
            `is bound to exchange '${source}' for '${key}'`,
            'remove the binding: its messages become dead letters',
          ),
        ]
      const owner = key.slice(0, Math.max(0, key.lastIndexOf('.')))
      if (source !== EXCHANGES.command || isPattern(key) || owner === service) return []
      return [
        problem(
          name,
          `takes '${key}', which is for service '${owner}'`,
          'remove the binding: nobody of this service handles it',
        ),
      ]
    })
}

function ofDeadLetterExchanges(snapshot: Snapshot): readonly Finding[] {
  const found: Finding[] = []
  const served = snapshot.queues.filter((queue) => isServiceQueue(queue) && deadLetterExchangeOf(queue) !== undefined)
  for (const exchange of new Set(served.map(deadLetterExchangeOf))) {
    if (exchange === undefined) continue
    const queues = served.filter((queue) => deadLetterExchangeOf(queue) === exchange)
    if (exchange !== '' && !snapshot.exchanges.some(({ name }) => name === exchange)) {
      const mend = `rabbitmqadmin declare exchange name=${exchange} type=topic, and bind a queue to it`
      found.push(problem(exchange, 'the dead-letter exchange does not exist: what fails twice is dropped', mend))
      continue
    }
    const dropped = queues.flatMap((queue) => keysDropped(queue, exchange, snapshot))
    if (dropped.length === 0) continue
    const isBound = snapshot.bindings.some(({ source }) => source === exchange)
    const what = isBound
      ? `takes no dead letters with the routing key ${[...new Set(dropped)].toSorted().slice(0, 5).join(', ')}: they are dropped`
      : 'no queue is bound to the dead-letter exchange: what fails twice is dropped'
    found.push(
      problem(exchange, what, `rabbitmqadmin declare binding source=${exchange} destination=QUEUE routing_key='#'`),
    )
  }
  return found
}

/** The keys of a queue whose dead letters no queue would take. Of patterns nobody knows the keys: any one stands for them. */
function keysDropped(queue: QueueFacts, exchange: string, snapshot: Snapshot): readonly string[] {
  const fixed = settingOf(queue, 'dead-letter-routing-key')
  const keys =
    typeof fixed === 'string'
      ? [fixed]
      : snapshot.bindings
          .filter(({ destination, source }) => destination === queue.name && source !== '')
          .map(({ key }) => key)
  return keys.filter((key) => receiversOf(snapshot, exchange, key.replaceAll(/[*#]/g, 'any')).length === 0)
}

function ofDeadLetters({ snapshot, growth }: DiagnosisOptions): readonly Finding[] {
  return deadLetterQueuesOf(snapshot).flatMap((name) => {
    const grown = growth?.letters.get(name) ?? 0
    const mend = `see why: eventail dead ${name}`
    if (grown > 0 && growth !== undefined)
      return [problem(name, `dead letters are coming in: ${grown} in ${growth.seconds} s`, mend)]
    const ready = snapshot.queues.find((queue) => queue.name === name)?.ready ?? 0
    return ready > 0 ? [note(name, `waiting: ${counted(ready, 'dead letter')}`, mend)] : []
  })
}

/** Bindings to queues that no service of this bus reads. */
function ofBindings({ queues, bindings }: Snapshot): readonly Finding[] {
  const ofBus = new Set<string>(Object.values(EXCHANGES))
  return queues
    .filter((queue) => !queue.exclusive && queue.consumers === 0 && serviceOfQueue(queue.name) === undefined)
    .flatMap(({ name, ready }) => {
      const sources = new Set(
        bindings
          .filter(({ destination, source }) => destination === name && ofBus.has(source))
          .map(({ source }) => source),
      )
      if (sources.size === 0) return []
      return [
        problem(
          name,
          `is bound to ${[...sources].join(', ')}, and nobody reads it: ${ready} messages have piled up`,
          'delete the queue, or start what reads it',
        ),
      ]
    })
}
