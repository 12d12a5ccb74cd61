/**
 * Both brokers do the same when anything follows anything: plays that nobody wrote, made up from a seed, of publishing, getting, settling,
 * consuming, purging, deleting and binding. What is made up next depends on what the broker said: where the two differ, all that follows does.
 */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { amqplibDriver } from './amqplib-driver.ts'
import type { Channel } from './channel.ts'
import { type Link, Stage } from './stage.ts'
import { developmentBroker, rabbitmq, type Target } from './target.ts'
import { Transcript } from './transcript.ts'
import type { Driver, Frame, Table } from './vocabulary.ts'

/** More are played with RANDOM_PLAYS=100; RANDOM_FIRST=7 begins with that seed. */
const PLAYS = Number(process.env['RANDOM_PLAYS'] ?? 5)
const FIRST = Number(process.env['RANDOM_FIRST'] ?? 1)
const STEPS = 60
const KEYS = ['a', 'b', 'a.b', '']
const PATTERNS = ['#', 'a', '*', 'a.*', '']

/** A message that is not settled. */
interface Held {
  readonly channel: Channel
  readonly queue: string
  readonly tag: number
}

class RandomPlay {
  readonly #stage: Stage
  readonly #seed: number
  #state: number
  readonly #channels: Channel[] = []
  #held: Held[] = []
  readonly #queues: Readonly<Record<string, Table>>
  readonly #names: readonly string[]
  /** What a message pushes out of the first queue, and a copy of it, would come to the next one in either order: it is given no copies. */
  readonly #bindable: readonly string[]
  /** By tag: where they consume. */
  readonly #consumers = new Map<string, Channel>()
  #published = 0

  constructor(stage: Stage, seed: number) {
    this.#stage = stage
    this.#seed = seed
    this.#state = seed
    const [short, plain, full] = [stage.name('1'), stage.name('2'), stage.name('3')]
    this.#queues = {
      [short]: { 'x-max-length': 3, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': plain },
      [plain]: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': full },
      [full]: { 'x-max-length': 2, 'x-overflow': 'reject-publish' },
    }
    this.#names = [short, plain, full]
    this.#bindable = [plain, full]
  }

  async play(): Promise<void> {
    const link = await this.#stage.connect()
    for (let count = 0; count < 2; count++) this.#channels.push(await link.channel({ confirm: true }))
    const [first] = this.#channels
    if (first === undefined) return
    for (const [queue, table] of Object.entries(this.#queues)) await first.declare(queue, table)
    await first.do('exchange.declare', { exchange: this.#stage.name('x'), type: 'topic' })
    for (let step = 0; step < STEPS; step++) {
      await this.#step(link)
      await this.#hear()
    }
  }

  /** A whole number from 0 up to, and without, this. */
  #random(below: number): number {
    // a linear congruential generator: its high bits are good enough
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223 + this.#seed) >>> 0
    return Math.floor((this.#state / 2 ** 32) * below)
  }

  #oneOf<T>(all: readonly T[]): T {
    const one = all[this.#random(all.length)]
    if (one === undefined) throw new Error('there is nothing to choose from')
    return one
  }

  async #step(link: Link): Promise<void> {
    const channel = this.#oneOf(this.#channels)
    const queue = this.#oneOf(this.#names)
    const kind = this.#random(100)
    if (kind < 35) await this.#publish(channel, queue)
    else if (kind < 55) await this.#get(channel, queue)
    else if (kind < 77) await this.#settle()
    else if (kind < 80) await this.#requeueAll(channel)
    else if (kind < 83) await channel.do('queue.purge', { queue })
    else if (kind < 89) await this.#consume(channel, queue)
    else if (kind < 92) await this.#cancel()
    else if (kind < 96) await this.#bind(channel, this.#oneOf(this.#bindable))
    else if (kind < 98) await this.#deleteAndDeclare(channel, queue)
    else await this.#reopen(link, channel)
  }

  async #publish(channel: Channel, queue: string): Promise<void> {
    const byTopic = { exchange: this.#stage.name('x'), routing_key: this.#oneOf(KEYS) }
    const target = this.#random(3) === 0 ? byTopic : { routing_key: queue }
    const copies = this.#random(8) === 0 && this.#bindable.includes(target.routing_key)
    const properties = {
      ...(copies ? { headers: { CC: [this.#oneOf(this.#bindable)] } } : {}),
      ...(this.#random(6) === 0 ? { expiration: '0' } : {}),
    }
    this.#published += 1
    const mandatory = this.#random(2) === 0
    await channel.do('basic.publish', { ...target, mandatory, body: String(this.#published), properties })
    await channel.confirmed()
  }

  async #get(channel: Channel, queue: string): Promise<void> {
    const noAck = this.#random(4) === 0
    const { method, delivery_tag: tag } = await channel.do('basic.get', { queue, no_ack: noAck })
    if (method === 'basic.get-ok' && !noAck) this.#held.push({ channel, queue, tag: Number(tag) })
  }

  async #settle(): Promise<void> {
    if (this.#held.length === 0) return
    const { channel, tag } = this.#oneOf(this.#held)
    const multiple = this.#random(3) === 0
    const all = multiple && this.#random(4) === 0
    const isSettled = (one: Held): boolean =>
      one.channel === channel && (one.tag === tag || (multiple && (all || one.tag < tag)))
    this.#held = this.#held.filter((one) => !isSettled(one))
    const fields = { delivery_tag: all ? 0 : tag, multiple, requeue: this.#random(2) === 0 }
    if (this.#random(2) === 0) await channel.do('basic.ack', { delivery_tag: fields.delivery_tag, multiple })
    else await channel.do('basic.nack', fields)
  }

  async #requeueAll(channel: Channel): Promise<void> {
    this.#held = this.#held.filter((one) => one.channel !== channel)
    await channel.do('basic.recover', { requeue: true })
  }

  async #consume(channel: Channel, queue: string): Promise<void> {
    const tag = `of ${queue}`
    // what goes to two consumers of a channel at once may go in either order
    if (this.#consumers.has(tag) || [...this.#consumers.values()].includes(channel)) return
    await channel.do('basic.qos', { prefetch_count: 1 + this.#random(3) })
    await channel.do('basic.consume', { queue, consumer_tag: tag })
    this.#consumers.set(tag, channel)
  }

  async #cancel(): Promise<void> {
    if (this.#consumers.size === 0) return
    const [tag, channel] = this.#oneOf([...this.#consumers])
    await channel.do('basic.cancel', { consumer_tag: tag })
    this.#consumers.delete(tag)
  }

  async #bind(channel: Channel, queue: string): Promise<void> {
    const binding = { queue, exchange: this.#stage.name('x'), routing_key: this.#oneOf(PATTERNS) }
    await channel.do(this.#random(4) === 0 ? 'queue.unbind' : 'queue.bind', binding)
  }

  async #deleteAndDeclare(channel: Channel, queue: string): Promise<void> {
    // RabbitMQ takes what is held of a deleted queue for something of the next one of that name
    if (this.#held.some((one) => one.queue === queue)) return
    await channel.do('queue.delete', { queue })
    this.#consumers.delete(`of ${queue}`)
    await channel.declare(queue, this.#queues[queue])
  }

  async #reopen(link: Link, channel: Channel): Promise<void> {
    await channel.do('channel.close', {})
    this.#held = this.#held.filter((one) => one.channel !== channel)
    for (const [tag, consuming] of this.#consumers) if (consuming === channel) this.#consumers.delete(tag)
    this.#channels[this.#channels.indexOf(channel)] = await link.channel({ confirm: true })
  }

  /** Waits until nothing moves any more; then what each channel was told, and what lies in each queue. */
  async #hear(): Promise<void> {
    for (let [turns, before] = [0, '']; turns < 3;) {
      const now = await this.#inPassing()
      turns = now === before ? turns + 1 : 0
      before = now
    }
    for (const channel of this.#channels)
      for (const frame of await channel.heard())
        if (isDelivery(frame)) this.#held.push({ channel, queue: queueOf(frame), tag: Number(frame.delivery_tag) })
    for (const queue of this.#names) await this.#channels[0]?.counts(queue)
  }

  async #inPassing(): Promise<string> {
    const seen: unknown[] = []
    for (const [index, channel] of this.#channels.entries()) {
      for (const queue of index === 0 ? this.#names : this.#names.slice(0, 1))
        seen.push(await channel.countsInPassing(queue))
      seen.push(channel.events.size)
    }
    return JSON.stringify(seen)
  }
}

/** By the tag of the consumer. */
function queueOf({ consumer_tag: tag = '' }: Frame): string {
  return tag.replace(/^of /, '')
}

function isDelivery({ method }: Frame): boolean {
  return method === 'basic.deliver'
}

describe.skipIf(inject('managementUrl') === '')('both brokers play alike', () => {
  let driver: Driver
  let targets: readonly [Target, Target]

  beforeAll(async () => {
    driver = amqplibDriver()
    targets = await Promise.all([
      rabbitmq(inject('brokerUrl'), inject('managementUrl'), 'random'),
      developmentBroker('random'),
    ])
  })

  afterAll(async () => {
    await Promise.all([driver, ...targets].map((one) => one[Symbol.asyncDispose]()))
  })

  const seeds = Array.from({ length: PLAYS }, (_, index) => FIRST + index)

  test.concurrent.for(seeds)('what the seed %i makes up', { timeout: 60_000 }, async (seed) => {
    const played = async (target: Target): Promise<readonly string[]> => {
      const transcript = new Transcript()
      const stage = new Stage(target, driver, `r${seed}`, transcript)
      try {
        await new RandomPlay(stage, seed).play()
      } finally {
        await stage.end()
      }
      return transcript.lines
    }
    const [rabbit, development] = targets
    const [real, own] = await Promise.all([played(rabbit), played(development)])
    const at = real.findIndex((line, index) => line !== own[index])
    const from = Math.max(0, at - 10)
    if (at !== -1) expect(own.slice(from, at + 1)).toEqual(real.slice(from, at + 1))
    expect(own.length).toBe(real.length)
  })
})
