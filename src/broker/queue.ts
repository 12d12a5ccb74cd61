/**
 * A queue: messages that wait in their order, those that consumers have and did not acknowledge, what happens when messages
 * grow old, the queue is full, or nobody uses it. Source: RabbitMQ's guides to queues, time to live, and length limits.
 */
import type { Clock } from '../time/clock.ts'
import { Consumers, type Consumer } from './consumer.ts'
import type { DeathReason } from './dead-letter.ts'
import { booleanIn, type FieldTable } from './field-table.ts'
import { type BrokerHooks, deliveryOf } from './hooks.ts'
import type { Memory } from './memory.ts'
import type { Message } from './message.ts'
import type { QueueSettings } from './queue-arguments.ts'
import { ReadyList } from './ready-list.ts'

/** A message in a queue. */
export interface QueueEntry {
  readonly queue: Queue
  readonly message: Message
  /** Its place among all that were ever published to the queue. */
  readonly position: number
  readonly expiresAtMs: number | undefined
  redelivered: boolean
  /** The hook has had its say: it is asked once for each delivery. */
  asked?: boolean
}

export interface QueueOptions {
  readonly durable: boolean
  readonly autoDelete: boolean
  /** The connection that it belongs to, and dies with. */
  readonly owner: object | undefined
  readonly arguments: FieldTable
}

/** What a queue needs of its virtual host. */
export interface QueueHost {
  readonly name: string
  readonly clock: Clock
  readonly memory: Memory
  readonly hooks: BrokerHooks
  readonly deadLetter: (entry: QueueEntry, reason: DeathReason) => void
  readonly deleteQueue: (queue: Queue) => void
}

/** What a message takes beside its body, roughly. */
const MESSAGE_BYTES = 200

export class Queue {
  readonly name: string
  readonly options: QueueOptions
  readonly consumers: Consumers
  settings: QueueSettings
  readonly #host: QueueHost
  readonly #ready = new ReadyList<QueueEntry>()
  readonly #unacknowledged = new Set<QueueEntry>()
  #readyBytes = 0
  #position = 0
  #deleted = false
  #delivering = false
  /** The first one, when a hook wants it to come later and there is none behind it. */
  #heldBack: QueueEntry | undefined
  #stopExpiry: (() => void) | undefined
  #stopUnused: (() => void) | undefined

  constructor(name: string, options: QueueOptions, settings: QueueSettings, host: QueueHost) {
    this.name = name
    this.options = options
    this.settings = settings
    this.#host = host
    this.consumers = new Consumers(booleanIn(options.arguments.get('x-single-active-consumer')) === true)
    this.used()
  }

  get readyCount(): number {
    return this.#ready.length
  }

  get unacknowledgedCount(): number {
    return this.#unacknowledged.size
  }

  get deleted(): boolean {
    return this.#deleted
  }

  /** @returns false when the queue is full, and refuses more */
  publish(message: Message): boolean {
    const { maxLength, maxBytes, overflow } = this.settings
    const entry = this.#entryOf(message)
    const isFull =
      this.#ready.length + 1 > (maxLength ?? Infinity) ||
      this.#readyBytes + message.body.length > (maxBytes ?? Infinity)
    if (isFull && overflow !== 'drop-head') {
      if (overflow === 'reject-publish-dlx') this.#host.deadLetter(entry, 'maxlen')
      return false
    }
    this.#keep(entry)
    // one that may not wait at all can still be taken by a consumer that waits
    const direct = this.#ready.length === 1 && !this.#delivering ? this.consumers.next() : undefined
    if (direct === undefined) this.deliver()
    else this.#give(direct)
    this.#dropTooMany()
    this.#watchExpiry()
    return true
  }

  /** The next message, for basic.get. */
  get(): QueueEntry | undefined {
    this.used()
    this.#dropExpired()
    const entry = this.#take()
    // what is behind it may have expired as well: the client is told how many are left
    this.#dropExpired()
    this.#watchExpiry()
    return entry
  }

  /** Hands out what waits to whom it may concern. */
  deliver(): void {
    // a delivery that ends a connection gives back what it had, and that asks for deliveries again
    if (this.#delivering || this.#deleted) return
    this.#delivering = true
    for (;;) {
      this.#dropExpired()
      const consumer = this.#ready.length === 0 || this.#isHeldBack ? undefined : this.consumers.next()
      if (consumer === undefined) break
      this.#give(consumer)
    }
    this.#delivering = false
    this.#watchExpiry()
  }

  /** Hands out what a hook holds back. @returns whether there was anything */
  release(): boolean {
    const wasHeldBack = this.#isHeldBack
    this.#heldBack = undefined
    if (wasHeldBack) this.deliver()
    return wasHeldBack
  }

  /** It was acknowledged, or is dead: the queue forgets it. */
  settle(entry: QueueEntry): void {
    if (this.#unacknowledged.delete(entry)) this.#host.memory.add(-sizeOf(entry))
  }

  /** They come back to the places that they had. */
  requeue(entries: readonly QueueEntry[]): void {
    const back = entries.filter((entry) => this.#unacknowledged.delete(entry))
    for (const entry of back) {
      entry.redelivered = true
      entry.asked = false
      this.#readyBytes += entry.message.body.length
    }
    this.#ready.insert(back)
    this.#dropTooMany()
    this.deliver()
  }

  /** @returns how many there were */
  purge(): number {
    const entries = this.#ready.clear()
    this.#readyBytes = 0
    for (const entry of entries) this.#host.memory.add(-sizeOf(entry))
    this.#watchExpiry()
    return entries.length
  }

  add(consumer: Consumer): void {
    this.consumers.add(consumer)
    this.used()
    this.deliver()
  }

  remove(consumer: Consumer): void {
    this.consumers.remove(consumer)
    this.used()
    if (this.consumers.size === 0 && this.options.autoDelete) this.#host.deleteQueue(this)
    else this.deliver()
  }

  /** Somebody asked for it: the time that it may stay unused begins again. */
  used(): void {
    this.#stopUnused?.()
    this.#stopUnused = undefined
    const { expiresMs } = this.settings
    if (expiresMs !== undefined && this.consumers.size === 0 && !this.#deleted)
      this.#stopUnused = this.#host.clock.after(expiresMs, () => this.#host.deleteQueue(this))
  }

  /** Other settings rule from now on; what waits keeps the end of its life. */
  change(settings: QueueSettings): void {
    this.settings = settings
    this.used()
    this.#dropTooMany()
  }

  /** @returns how many messages it had ready */
  end(): number {
    this.#deleted = true
    const count = this.purge()
    this.used()
    for (const entry of this.#unacknowledged) this.#host.memory.add(-sizeOf(entry))
    this.#unacknowledged.clear()
    for (const consumer of this.consumers.all()) {
      this.consumers.remove(consumer)
      consumer.cancelled()
    }
    return count
  }

  /** What waits, oldest first. */
  ready(): readonly QueueEntry[] {
    return [...this.#ready]
  }

  #entryOf(message: Message): QueueEntry {
    const { messageTtlMs } = this.settings
    const lives = Math.min(messageTtlMs ?? Infinity, message.expirationMs ?? Infinity)
    const expiresAtMs = lives === Infinity ? undefined : this.#host.clock.now() + lives
    return { queue: this, message, position: (this.#position += 1), expiresAtMs, redelivered: false }
  }

  #keep(entry: QueueEntry): void {
    this.#ready.push(entry)
    this.#readyBytes += entry.message.body.length
    this.#host.memory.add(sizeOf(entry))
  }

  #take(): QueueEntry | undefined {
    const entry = this.#ready.shift()
    if (entry === undefined) return undefined
    this.#readyBytes -= entry.message.body.length
    this.#unacknowledged.add(entry)
    return entry
  }

  #give(consumer: Consumer): void {
    const first = this.#ready.first()
    if (first === undefined) return
    const asked = first.asked === true ? undefined : this.#askedFor(first)
    first.asked = true
    if (asked === 'twice') this.#ready.insert([{ ...first, position: first.position + 0.5 }])
    if (asked === 'twice') this.#host.memory.add(sizeOf(first))
    if (asked === 'twice') this.#readyBytes += first.message.body.length
    if (asked === 'later') this.#heldBack = first
    if (this.#isHeldBack) return
    const second = first === this.#heldBack ? this.#ready.takeSecond() : undefined
    if (second !== undefined) this.#ready.insert([{ ...second, position: first.position - 0.5 }])
    this.#heldBack = undefined
    const entry = this.#take()
    if (entry === undefined) return
    consumer.deliver(entry)
    if (consumer.noAck) this.settle(entry)
  }

  get #isHeldBack(): boolean {
    return this.#heldBack !== undefined && this.#ready.length === 1 && this.#ready.first() === this.#heldBack
  }

  #askedFor(entry: QueueEntry): 'twice' | 'later' | undefined {
    return this.#host.hooks.onDeliver?.(deliveryOf(entry))
  }

  #dropExpired(): void {
    const now = this.#host.clock.now()
    for (let first = this.#ready.first(); (first?.expiresAtMs ?? Infinity) <= now; first = this.#ready.first())
      this.#drop('expired')
  }

  #drop(reason: DeathReason): void {
    const entry = this.#take()
    if (entry === undefined) return
    this.settle(entry)
    this.#host.deadLetter(entry, reason)
  }

  #dropTooMany(): void {
    const { maxLength = Infinity, maxBytes = Infinity, overflow } = this.settings
    if (overflow !== 'drop-head') return
    while (this.#ready.length > maxLength || this.#readyBytes > maxBytes) this.#drop('maxlen')
  }

  /** Only the first can expire: one behind it, however old, waits until it is the first, as in RabbitMQ. */
  #watchExpiry(): void {
    this.#stopExpiry?.()
    this.#stopExpiry = undefined
    const expiresAtMs = this.#ready.first()?.expiresAtMs
    if (expiresAtMs === undefined) return
    const delayMs = Math.max(0, expiresAtMs - this.#host.clock.now())
    this.#stopExpiry = this.#host.clock.after(delayMs, () => {
      this.#dropExpired()
      this.#watchExpiry()
    })
  }
}

function sizeOf({ message }: QueueEntry): number {
  return message.body.length + message.properties.length + MESSAGE_BYTES
}
