/** The messages that were sent on one channel and are not confirmed yet: what confirms and returns are matched with. */
import { isDeepStrictEqual } from 'node:util'
import type { IncomingProperties, OutgoingMessage } from '../wire/message.ts'

/** A message on its way. */
export interface Sent {
  readonly message: OutgoingMessage
  /** When it was sent last, by the monotonic clock. */
  sentAt: number
  /** Whether the broker gave it back, which it does before it confirms it. */
  returned: boolean
}

/** What the broker tells of a message that it gives back. */
export interface Returned {
  readonly exchange: string
  readonly routingKey: string
  readonly properties: IncomingProperties
  readonly body: Uint8Array
}

export class Unconfirmed<T extends Sent> {
  /** By the channel's sequence number, in order. */
  readonly #bySequence = new Map<number, T>()
  #sequence = 0
  #bytes = 0

  get size(): number {
    return this.#bySequence.size
  }

  /** Bytes of their bodies. */
  get bytes(): number {
    return this.#bytes
  }

  get oldest(): T | undefined {
    return this.#bySequence.values().next().value
  }

  /** A message goes out, as the next of its channel. */
  add(sent: T): void {
    sent.sentAt = performance.now()
    sent.returned = false
    this.#sequence += 1
    this.#bySequence.set(this.#sequence, sent)
    this.#bytes += sent.message.body.byteLength
  }

  /**
   * Marks the message that came back. Ids need not be there, nor be unique (the same event may have died in two queues):
   * the oldest that is equal is taken, and those that are equal in everything may stand for one another.
   * @returns undefined when there is none, or it was returned already
   */
  markReturned(returned: Returned): T | undefined {
    let found: T | undefined
    for (const sent of this.#bySequence.values()) {
      if (sent.returned || !isLike(sent.message, returned)) continue
      found ??= sent
      if (!isSame(sent.message, returned)) continue
      found = sent
      break
    }
    if (found !== undefined) found.returned = true
    return found
  }

  /** Removes and returns the messages that a confirm is for, in order. */
  confirm(sequence: number, multiple: boolean): readonly T[] {
    const confirmed: T[] = []
    if (multiple) {
      for (const number of this.#bySequence.keys()) {
        if (number > sequence) break
        this.#take(number, confirmed)
      }
    } else this.#take(sequence, confirmed)
    return confirmed
  }

  /** Removes and returns all of them, in order. A new channel counts from the beginning. */
  takeAll(): readonly T[] {
    const all = [...this.#bySequence.values()]
    this.#bySequence.clear()
    this.#sequence = 0
    this.#bytes = 0
    return all
  }

  #take(sequence: number, into: T[]): void {
    const sent = this.#bySequence.get(sequence)
    if (sent === undefined) return
    this.#bySequence.delete(sequence)
    this.#bytes -= sent.message.body.byteLength
    into.push(sent)
  }
}

function isLike(sent: OutgoingMessage, { exchange, routingKey, properties }: Returned): boolean {
  return (
    sent.mandatory &&
    sent.routingKey === routingKey &&
    sent.exchange === exchange &&
    (sent.properties.messageId ?? '') === (properties.messageId ?? '')
  )
}

function isSame(sent: OutgoingMessage, { properties, body }: Returned): boolean {
  return (
    (sent.properties.correlationId ?? '') === (properties.correlationId ?? '') &&
    Buffer.compare(sent.body, body) === 0 &&
    isDeepStrictEqual(sent.properties.headers ?? {}, properties.headers ?? {})
  )
}
