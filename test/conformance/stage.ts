/**
 * Where a scenario is played: it connects to one broker through one driver, asks, and waits for what the broker says. All of
 * it goes into the transcript, in the order in which the scenario asks and waits, which no race of the network changes.
 */
import { expect } from 'vitest'
import { Channel, matching } from './channel.ts'
import { Events } from './events.ts'
import type { NotImplemented } from './not-implemented.ts'
import type { Target } from './target.ts'
import type { Transcript } from './transcript.ts'
import type { ConnectOptions, Driver, Frame, Method, Peer, Requests } from './vocabulary.ts'

/** A play for two brokers. Its title says what brokers do. */
export interface Scenario {
  readonly title: string
  /** The client libraries that can say it. @default both */
  readonly only?: Driver['name']
  /** The development broker refuses it, with 540. */
  readonly notImplemented?: NotImplemented
  readonly play: (stage: Stage) => Promise<void>
}

/** What a broker says with which code and text when it closes a channel or connection. */
interface Closing {
  readonly code: number
  readonly text: string
}

export class Stage {
  readonly broker: Target
  readonly transcript: Transcript
  readonly #driver: Driver
  readonly #prefix: string
  readonly #links: Link[] = []

  constructor(broker: Target, driver: Driver, prefix: string, transcript: Transcript) {
    this.broker = broker
    this.transcript = transcript
    this.#driver = driver
    this.#prefix = prefix
  }

  /** A name that no other scenario uses. */
  name(own: string): string {
    return `${this.#prefix}.${own}`
  }

  /** The end of a text of the broker. */
  get inVhost(): string {
    return `in vhost '${this.broker.vhost}'`
  }

  /** Connects. @throws Error when the broker refuses the connection */
  async connect(options: Partial<ConnectOptions> = {}): Promise<Link> {
    const link = new Link(String.fromCodePoint(97 + this.#links.length), this.transcript)
    const refusal = await link.connect(this.#driver, { url: this.broker.url, ...options })
    if (refusal !== undefined) throw new Error(`not connected: ${JSON.stringify(refusal)}`)
    this.#links.push(link)
    return link
  }

  /** Expects to be refused. */
  async connectInVain(options: ConnectOptions, { code, text }: Closing): Promise<void> {
    const refusal = await new Link('x', this.transcript).connect(this.#driver, options)
    expect(refusal).toMatchObject({ reply_code: code, reply_text: text })
  }

  /** A connection with one channel, for most scenarios. */
  async channel(options?: { readonly confirm?: boolean }): Promise<Channel> {
    return (await this.connect()).channel(options)
  }

  async setPolicy(
    name: string,
    ...more: [string, Record<string, unknown>, { applyTo?: 'exchanges'; priority?: number }?]
  ): Promise<void> {
    await this.broker.setPolicy(this.name(name), ...more)
  }

  async clearPolicy(name: string): Promise<void> {
    await this.broker.clearPolicy(this.name(name))
  }

  /** Closes what is open, and writes down what nobody waited for. */
  async end(): Promise<void> {
    for (const link of this.#links) {
      for (const one of [link.events, ...link.channels.map(({ events }) => events)]) one.writeLeftOver()
      await link.close()
    }
  }
}

/** A connection. */
export class Link {
  readonly events: Events
  readonly channels: Channel[] = []
  readonly #label: string
  readonly #transcript: Transcript
  #peer: Peer | undefined

  constructor(label: string, transcript: Transcript) {
    this.#label = label
    this.#transcript = transcript
    this.events = new Events(label, transcript)
  }

  async connect(driver: Driver, options: ConnectOptions): Promise<Frame | undefined> {
    const peer = await driver.connect(options, (channel, event) => {
      const events = this.channels.find(({ label }) => label === channel)?.events ?? this.events
      if (channel !== '' || event.method !== 'connection.close') events.add(event)
      else for (const one of [this, ...this.channels]) one.events.add(event)
    })
    if ('method' in peer) {
      const { method, ...fields } = peer
      this.#transcript.add(this.#label, `connects → ${method}`, fields)
      return peer
    }
    this.#peer = peer
    this.#transcript.add(this.#label, 'connects')
    return undefined
  }

  async channel({ confirm = false } = {}): Promise<Channel> {
    if (this.#peer === undefined) throw new Error('not connected')
    const channel = new Channel(`${this.#label}${this.channels.length + 1}`, this.#peer, this.#transcript)
    this.channels.push(channel)
    const answer = await this.#peer.open(channel.label, { confirm })
    this.#transcript.add(channel.label, `opens → ${answer.method}`)
    return channel
  }

  /** Asks on a channel of its own, and expects that the broker closes it for that. */
  async refused<M extends Method>(method: M, fields: Requests[M], code: number, text: string | RegExp): Promise<void> {
    const channel = await this.channel()
    await channel.refused(method, fields, code, text)
  }

  /** Expects that the broker closes the connection. */
  async closed(code: number, text: string | RegExp): Promise<void> {
    const { method, ...fields } = await this.events.take('close', (event) => event.method === 'connection.close')
    this.#transcript.add(this.#label, `was told ${method}`, fields)
    expect(fields).toMatchObject({ reply_code: code, reply_text: matching(text) })
  }

  async next(method: 'connection.blocked' | 'connection.unblocked'): Promise<Frame> {
    const event = await this.events.take(method, (one) => one.method === method)
    const { method: told, ...fields } = event
    this.#transcript.add(this.#label, `was told ${told}`, fields)
    return event
  }

  /** Cuts the socket. */
  async drop(): Promise<void> {
    this.#transcript.add(this.#label, 'is cut off')
    await this.#peer?.drop()
    await this.events.take('loss', (event) => event.method === 'lost')
  }

  async close(): Promise<void> {
    await this.#peer?.close()
  }
}
