/**
 * The consumers of a queue, and whose turn it is: of those with the highest priority the one that waited longest, as long as its
 * prefetch has room. Source: RabbitMQ's guides to consumers, their priorities, and the single active consumer.
 */
import type { FieldTable } from './field-table.ts'
import type { QueueEntry } from './queue.ts'

export interface Consumer {
  readonly tag: string
  readonly noAck: boolean
  readonly exclusive: boolean
  readonly priority: number
  /** How many unacknowledged messages it may have; 0 is no limit. */
  readonly prefetch: number
  readonly arguments: FieldTable
  /** For the management API. */
  readonly channelName: string
  /** Whether it could take one more. */
  readonly hasRoom: () => boolean
  readonly deliver: (entry: QueueEntry) => void
  /** The queue is gone. */
  readonly cancelled: () => void
}

export class Consumers {
  readonly #single: boolean
  /** By priority, the highest first; among equals the one whose turn it is first. */
  #waiting: Consumer[] = []
  /** Those that had no room when it was their turn. */
  readonly #full = new Set<Consumer>()
  /** In the order in which they came. */
  readonly #all = new Set<Consumer>()

  /** @param single only the first of them gets messages, until it goes */
  constructor(single: boolean) {
    this.#single = single
  }

  get size(): number {
    return this.#all.size
  }

  all(): readonly Consumer[] {
    return [...this.#all]
  }

  hasExclusive(): boolean {
    return this.all().some(({ exclusive }) => exclusive)
  }

  add(consumer: Consumer): void {
    this.#all.add(consumer)
    this.#line(consumer)
  }

  remove(consumer: Consumer): void {
    this.#all.delete(consumer)
    this.#full.delete(consumer)
    this.#waiting = this.#waiting.filter((one) => one !== consumer)
  }

  /** It may have room again. */
  roomAgain(consumer: Consumer): void {
    if (this.#full.delete(consumer)) this.#line(consumer)
  }

  /** The one to take the next message; it is the last of its priority then. */
  next(): Consumer | undefined {
    if (this.#single) {
      const [active] = this.#all
      return active?.hasRoom() === true ? active : undefined
    }
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      this.#waiting.shift()
      if (first.hasRoom()) {
        this.#line(first)
        return first
      }
      this.#full.add(first)
    }
    return undefined
  }

  #line(consumer: Consumer): void {
    const behind = this.#waiting.findIndex(({ priority }) => priority < consumer.priority)
    this.#waiting.splice(behind === -1 ? this.#waiting.length : behind, 0, consumer)
  }
}
