/** A channel of a scenario: asks, waits, and writes down both. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import { Events, PATIENCE_MS } from './events.ts'
import { sorted, type Transcript } from './transcript.ts'
import type { Frame, Method, Peer, Requests } from './vocabulary.ts'

export class Channel {
  readonly label: string
  readonly events: Events
  readonly #peer: Peer
  readonly #transcript: Transcript
  #published = 0
  readonly #unconfirmed = new Set<number>()

  constructor(label: string, peer: Peer, transcript: Transcript) {
    this.label = label
    this.#peer = peer
    this.#transcript = transcript
    this.events = new Events(label, transcript)
  }

  /** Asks. @returns the answer; what closed the channel or connection, when that came instead */
  async do<M extends Method>(method: M, fields: Requests[M]): Promise<Frame> {
    if (method === 'basic.publish') {
      this.#published += 1
      this.#unconfirmed.add(this.#published)
    }
    const reply = await this.#peer.request(this.label, method, fields)
    const answer = reply.method === 'closed' ? await this.events.take('close', isClose) : reply
    const { method: answered, ...rest } = answer
    const shown = { ...fields, ...('body' in fields && { body: shortened(fields.body ?? '') }) }
    this.#transcript.add(this.label, `${method} ${JSON.stringify(sorted(shown))} → ${answered}`, rest)
    return answer
  }

  /** Asks, and expects that it closes the channel, or the connection where the code says so. */
  async refused<M extends Method>(method: M, fields: Requests[M], code: number, text: string | RegExp): Promise<void> {
    const answer = await this.do(method, fields)
    const closing = answer.method === 'none' ? await this.next('close') : answer
    expect(closing).toMatchObject({ reply_code: code, reply_text: matching(text) })
  }

  /** Waits for the next of what the broker says of its own accord. */
  async next(method: 'basic.deliver' | 'basic.return' | 'basic.cancel' | 'close'): Promise<Frame> {
    const fits = method === 'close' ? isClose : (event: Frame) => event.method === method
    const event = await this.events.take(method, fits)
    const { method: told, ...fields } = event
    this.#transcript.add(this.label, `was told ${told}`, fields)
    return event
  }

  /** What the broker has said of its own accord up to now. */
  async heard(): Promise<readonly Frame[]> {
    const all: Frame[] = []
    while (this.events.size > 0) {
      const event = await this.events.take('anything', () => true)
      const { method, ...fields } = event
      this.#transcript.add(this.label, `was told ${method}`, fields)
      all.push(event)
    }
    return all
  }

  /** The bodies of as many deliveries. */
  async bodies(count: number): Promise<string[]> {
    const bodies: string[] = []
    while (bodies.length < count) bodies.push((await this.next('basic.deliver')).body ?? '')
    return bodies
  }

  /** The consumers that get as many deliveries, which may come in any order. */
  async takers(count: number): Promise<string[]> {
    const takers: string[] = []
    while (takers.length < count) {
      const event = await this.events.take('basic.deliver', ({ method }) => method === 'basic.deliver')
      takers.push(event.consumer_tag ?? '')
    }
    takers.sort()
    this.#transcript.add(this.label, `was told basic.deliver for ${takers.join(', ')}`)
    return takers
  }

  /**
   * Waits until all that was published is confirmed. How many the broker confirms at once, and in which order, is its affair.
   * @returns the tags that it could not take
   */
  async confirmed(): Promise<readonly number[]> {
    const wanted = [...this.#unconfirmed]
    const nacked = await this.#confirms()
    this.#transcript.add(this.label, `was told of ${wanted.join()}: confirmed, but not ${nacked.join() || 'none'}`)
    return nacked
  }

  /** Publishes until the broker has said something to the connection, which may take more than one publish. */
  async sendUntil(told: Events, queue: string): Promise<void> {
    while (told.size === 0) {
      this.#published += 1
      this.#unconfirmed.add(this.#published)
      await this.#peer.request(this.label, 'basic.publish', { routing_key: queue, body: 'held up' })
      await delay(20)
    }
  }

  /** Waits until all that was published is confirmed, however much that is. */
  async allConfirmed(): Promise<void> {
    expect(await this.#confirms()).toEqual([])
  }

  async #confirms(): Promise<readonly number[]> {
    const nacked: number[] = []
    while (this.#unconfirmed.size > 0) {
      const isConfirm = ({ method }: Frame): boolean => method === 'basic.ack' || method === 'basic.nack'
      const { method, delivery_tag: tag, multiple } = await this.events.take('confirm', isConfirm)
      const tags = [...this.#unconfirmed].filter((one) => one === tag || (multiple === true && one <= Number(tag)))
      if (tags.length === 0) throw new Error(`${this.label} got a confirm of ${tag}, which was not to come`)
      for (const one of tags) this.#unconfirmed.delete(one)
      if (method === 'basic.nack') nacked.push(...tags)
    }
    return nacked.toSorted((a, b) => a - b)
  }

  /** Waits until a queue is gone, without using it: by messages that come back. The channel must have confirms. */
  async untilGone(queue: string): Promise<void> {
    for (let returned = false; !returned;) {
      this.#published += 1
      this.#unconfirmed.add(this.#published)
      await this.#peer.request(this.label, 'basic.publish', { routing_key: queue, mandatory: true, body: 'a probe' })
      await this.#confirms()
      returned = this.events.drop(({ method, body }) => method === 'basic.return' && body === 'a probe') > 0
      if (!returned) await delay(20)
    }
    this.#transcript.add(this.label, `waited until ${queue} is gone`)
  }

  /** Publishes to the default exchange. */
  async send(queue: string, body: string, properties: Requests['basic.publish']['properties'] = {}): Promise<void> {
    await this.do('basic.publish', { routing_key: queue, body, properties })
  }

  async declare(queue: string, table: Requests['queue.declare']['arguments'] = {}): Promise<string> {
    const answer = await this.do('queue.declare', { queue, arguments: table })
    expect(answer.method).toBe('queue.declare-ok')
    return queue
  }

  /** How many messages wait in a queue, and how many consumers it has. */
  async counts(queue: string): Promise<[messages: number, consumers: number]> {
    const answer = await this.do('queue.declare', { queue, passive: true })
    return [Number(answer.message_count), Number(answer.consumer_count)]
  }

  /** The same, of which the transcript says nothing. */
  async countsInPassing(queue: string): Promise<[messages: number, consumers: number]> {
    const answer = await this.#peer.request(this.label, 'queue.declare', { queue, passive: true })
    return [Number(answer.message_count), Number(answer.consumer_count)]
  }

  /** Waits until so many messages wait in a queue, and it has so many consumers. */
  async until(queue: string, messages: number, consumers = 0): Promise<void> {
    const wanted = { message_count: messages, consumer_count: consumers }
    const asks = async (): Promise<void> => {
      expect(await this.#peer.request(this.label, 'queue.declare', { queue, passive: true })).toMatchObject(wanted)
    }
    await vi.waitFor(asks, { timeout: PATIENCE_MS, interval: 15 })
    this.#transcript.add(this.label, `waited until ${queue} has`, wanted)
  }

  /** Takes everything out of a queue, without acknowledging. @returns what was got, in order */
  async drained(queue: string): Promise<Frame[]> {
    const all: Frame[] = []
    for (;;) {
      const answer = await this.do('basic.get', { queue, no_ack: true })
      if (answer.method !== 'basic.get-ok') return all
      all.push(answer)
    }
  }

  /** Shows that nothing comes: what the broker had to say before it answers some questions about the queue would be there. */
  async hearsNothing(queue: string): Promise<void> {
    for (let turn = 0; turn < 3; turn++) await this.#peer.request(this.label, 'queue.declare', { queue, passive: true })
    this.#transcript.add(this.label, `hears nothing more`)
    expect(this.events.size).toBe(0)
  }
}

function isClose({ method }: Frame): boolean {
  return method === 'channel.close' || method === 'connection.close' || method === 'lost'
}

function shortened(text: string): string {
  return text.length > 100 ? `${text.slice(0, 10)}… (${text.length})` : text
}

/** What a text is expected to be. */
export function matching(text: string | RegExp): unknown {
  return typeof text === 'string' ? text : expect.stringMatching(text)
}
