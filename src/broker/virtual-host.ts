/** A virtual host: its exchanges, queues, bindings and policies, and the way of a message from an exchange to queues. */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../time/clock.ts'
import { readable } from './byte-string.ts'
import { deadLetterOf, type DeathReason, goesInCircles } from './dead-letter.ts'
import { AmqpException, named, notFound, notImplemented } from './exceptions.ts'
import { type Binding, Exchange, type ExchangeOptions, type ExchangeType } from './exchange.ts'
import { EMPTY_TABLE, type FieldTable, textIn, writeTable } from './field-table.ts'
import type { BrokerHooks } from './hooks.ts'
import type { Memory } from './memory.ts'
import { keysIn, type Message, readKnown } from './message.ts'
import { Policies, type Policy } from './policy.ts'
import { Queue, type QueueEntry, type QueueHost, type QueueOptions } from './queue.ts'
import { settingsOf } from './queue-arguments.ts'

const FIRST_EXCHANGES: readonly (readonly [string, ExchangeType])[] = [
  ['', 'direct'],
  ['amq.direct', 'direct'],
  ['amq.fanout', 'fanout'],
  ['amq.topic', 'topic'],
  ['amq.headers', 'headers'],
  ['amq.match', 'headers'],
]
const MOST_ROUTES_KEPT = 10_000

/** What became of a message. */
export interface Published {
  /** How many queues it was for, without those that only watch. */
  readonly queues: number
  /** False when one of them was full and refused it. */
  readonly kept: boolean
}

export class VirtualHost implements QueueHost {
  readonly name: string
  readonly clock: Clock
  readonly memory: Memory
  readonly hooks: BrokerHooks
  readonly exchanges = new Map<string, Exchange>()
  readonly queues = new Map<string, Queue>()
  readonly #policies = new Policies()
  /** Which queues an exchange and a key lead to, kept until anything changes. */
  readonly #routes = new Map<string, readonly Queue[]>()
  /** Dead letters that wait for their turn; a chain of exchanges is followed one after the other, not one within the other. */
  readonly #dead: { message: Message; queues: readonly Queue[] }[] = []
  #burying = false

  constructor(name: string, { clock, memory, hooks }: { clock: Clock; memory: Memory; hooks: BrokerHooks }) {
    this.name = name
    this.clock = clock
    this.memory = memory
    this.hooks = hooks
    for (const [exchange, type] of FIRST_EXCHANGES)
      this.exchanges.set(
        exchange,
        new Exchange(exchange, type, { durable: true, autoDelete: false, internal: false, arguments: EMPTY_TABLE }),
      )
  }

  /** @throws AmqpException (404) */
  exchange(name: string): Exchange {
    const exchange = this.exchanges.get(name)
    if (exchange === undefined) throw notFound('exchange', name, this.name)
    return exchange
  }

  /** @throws AmqpException (404) when it is not there, (405) when it belongs to another connection */
  queue(name: string, connection: object): Queue {
    const queue = this.queues.get(name)
    if (queue === undefined) throw notFound('queue', name, this.name)
    if (queue.options.owner !== undefined && queue.options.owner !== connection)
      throw new AmqpException(
        405,
        `cannot obtain exclusive access to locked ${named('queue', name, this.name)}. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.`,
      )
    return queue
  }

  addExchange(name: string, type: ExchangeType, options: ExchangeOptions): Exchange {
    const exchange = new Exchange(name, type, options)
    this.exchanges.set(name, exchange)
    this.#routes.clear()
    return exchange
  }

  /** @param name empty: one that is not taken */
  addQueue(name: string, options: QueueOptions): Queue {
    const own = name === '' ? `amq.gen-${randomBytes(16).toString('base64url')}` : name
    const queue = new Queue(
      own,
      options,
      settingsOf(options.arguments, this.policyOf('queues', own)?.definition ?? {}),
      this,
    )
    this.queues.set(own, queue)
    this.#routes.clear()
    return queue
  }

  /** @returns how many messages were ready in it */
  readonly deleteQueue = (queue: Queue): number => {
    if (this.queues.get(queue.name) === queue) this.queues.delete(queue.name)
    this.#removeBindingsTo('queue', queue.name)
    this.#routes.clear()
    return queue.end()
  }

  deleteExchange(exchange: Exchange): void {
    this.exchanges.delete(exchange.name)
    this.#removeBindingsTo('exchange', exchange.name)
    this.#routes.clear()
  }

  bind(binding: Binding): void {
    const { bindings, type } = this.exchange(binding.source)
    if (type === 'headers') throw notImplemented(`exchanges of type 'headers'`)
    if (!bindings.some((one) => isSame(one, binding))) bindings.push(binding)
    this.#routes.clear()
  }

  unbind(binding: Binding): void {
    const exchange = this.exchanges.get(binding.source)
    const index = exchange?.bindings.findIndex((one) => isSame(one, binding)) ?? -1
    if (exchange === undefined || index === -1) return
    exchange.bindings.splice(index, 1)
    this.#routes.clear()
    this.#deleteWhenUnbound(exchange)
  }

  /** @throws AmqpException (404) when there is no such exchange, (403) when it is internal */
  checkPublish(name: string): void {
    if (this.exchange(name).options.internal)
      throw new AmqpException(403, `cannot publish to internal ${named('exchange', name, this.name)}`)
  }

  /** @param keys all that it is routed by */
  publish(message: Message, keys: readonly string[]): Published {
    const queues = this.#queuesFor(message.exchange, keys)
    const takers = this.#takersOf(message, queues)
    return this.buryingAfter(() => ({ queues: takers, kept: this.#publishTo(queues, message) }))
  }

  /** Does this; what dies of it goes on its way when it is done as a whole, as where queues do their work each on its own. */
  buryingAfter<T>(act: () => T): T {
    if (this.#burying) return act()
    this.#burying = true
    try {
      return act()
    } finally {
      for (let next = this.#dead.shift(); next !== undefined; next = this.#dead.shift())
        this.#publishTo(next.queues, next.message)
      this.#burying = false
    }
  }

  readonly deadLetter = ({ queue, message }: QueueEntry, reason: DeathReason): void => {
    const { deadLetterExchange, deadLetterRoutingKey } = queue.settings
    if (deadLetterExchange === undefined || !this.exchanges.has(deadLetterExchange)) return
    const letter = deadLetterOf(message, {
      queue: queue.name,
      reason,
      atMs: this.clock.now(),
      exchange: deadLetterExchange,
      routingKey: deadLetterRoutingKey,
    })
    const keys = [letter.routingKey, ...keysIn(readKnown(letter.properties).headers, 'CC')]
    const queues = this.#queuesFor(deadLetterExchange, keys)
    const open = queues.filter(({ name }) => !goesInCircles(letter, name))
    this.buryingAfter(() => this.#dead.push({ message: letter, queues: open }))
  }

  setPolicy(policy: Policy): void {
    this.#policies.set(policy)
    this.#applyPolicies()
  }

  clearPolicy(name: string): void {
    this.#policies.clear(name)
    this.#applyPolicies()
  }

  policyOf(kind: 'queues' | 'exchanges', name: string): Policy | undefined {
    return this.#policies.of(kind, name)
  }

  policies(): readonly Policy[] {
    return this.#policies.list()
  }

  /** Everything is gone. */
  end(): void {
    for (const queue of this.queues.values()) this.deleteQueue(queue)
  }

  #applyPolicies(): void {
    this.#routes.clear()
    for (const queue of this.queues.values())
      queue.change(settingsOf(queue.options.arguments, this.policyOf('queues', queue.name)?.definition ?? {}))
  }

  #publishTo(queues: readonly Queue[], message: Message): boolean {
    let kept = true
    for (const queue of queues) kept = (queue.deleted || queue.publish(message)) && kept
    return kept
  }

  #takersOf({ exchange }: Message, queues: readonly Queue[]): number {
    const { isWatcher } = this.hooks
    if (isWatcher === undefined) return queues.length
    return queues.filter(({ name }) => !isWatcher(readable(name), readable(exchange))).length
  }

  #queuesFor(exchange: string, keys: readonly string[]): readonly Queue[] {
    const [key = ''] = keys
    if (keys.length > 1) return [...new Set(keys.flatMap((one) => this.#route(exchange, one)))]
    const cacheKey = `${exchange.length}:${exchange}${key}`
    const known = this.#routes.get(cacheKey)
    if (known !== undefined) return known
    const queues = this.#route(exchange, key)
    if (this.#routes.size >= MOST_ROUTES_KEPT) this.#routes.clear()
    this.#routes.set(cacheKey, queues)
    return queues
  }

  /** Follows bindings from exchange to exchange; each exchange is passed once. */
  #route(first: string, key: string): readonly Queue[] {
    const found = new Set<Queue>()
    const seen = new Set<string>([first])
    const pending = [first]
    const go = (name: string): void => {
      if (!seen.has(name)) pending.push(name)
      seen.add(name)
    }
    for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
      const exchange = this.exchanges.get(name)
      if (exchange === undefined) continue
      // every queue is bound to the default exchange with its name
      const direct = name === '' ? this.queues.get(key) : undefined
      const bindings = exchange.matching(key)
      if (direct !== undefined) found.add(direct)
      for (const { destination, destinationKind } of bindings) {
        const queue = destinationKind === 'queue' ? this.queues.get(destination) : undefined
        if (queue !== undefined) found.add(queue)
        if (destinationKind === 'exchange') go(destination)
      }
      const alternate = bindings.length === 0 && direct === undefined ? this.#alternateOf(exchange) : undefined
      if (alternate !== undefined) go(alternate)
    }
    return [...found]
  }

  #alternateOf({ name, options }: Exchange): string | undefined {
    const byPolicy = this.policyOf('exchanges', name)?.definition['alternate-exchange']
    return textIn(options.arguments.get('alternate-exchange')) ?? (typeof byPolicy === 'string' ? byPolicy : undefined)
  }

  #removeBindingsTo(kind: 'queue' | 'exchange', name: string): void {
    for (const exchange of this.exchanges.values()) {
      const left = exchange.bindings.filter(
        ({ destination, destinationKind }) => destination !== name || destinationKind !== kind,
      )
      if (left.length === exchange.bindings.length) continue
      exchange.bindings.splice(0, Infinity, ...left)
      this.#deleteWhenUnbound(exchange)
    }
  }

  #deleteWhenUnbound(exchange: Exchange): void {
    if (exchange.options.autoDelete && exchange.bindings.length === 0) this.deleteExchange(exchange)
  }
}

function isSame(one: Binding, other: Binding): boolean {
  return (
    one.destination === other.destination &&
    one.destinationKind === other.destinationKind &&
    one.routingKey === other.routingKey &&
    writeTable(inOrder(one.arguments)).equals(writeTable(inOrder(other.arguments)))
  )
}

function inOrder(table: FieldTable): FieldTable {
  return new Map([...table].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
