/**
 * What malformed and hostile frames come to: RabbitMQ and the development broker say the same, to the letter, or both let the connection go
 * without a word. Nobody else is harmed: on the development broker another client publishes and consumes all the while.
 */
import { setTimeout as delay } from 'node:timers/promises'
import amqp from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { contents } from './hostile/contents.ts'
import type { HostileCase } from './hostile/case.ts'
import { frames } from './hostile/frames.ts'
import { handshakes } from './hostile/handshakes.ts'
import { brief, RawClient, type Said } from './hostile/raw-client.ts'
import { developmentBroker, rabbitmq, type Target } from './target.ts'

const cases = [...handshakes, ...frames, ...contents]

/** What happens to a client that does nothing wrong. */
class Bystander {
  sent = 0
  readonly got: number[] = []
  problem: unknown
  #stopped = false
  #ended: Promise<void> | undefined

  static async start(url: string): Promise<Bystander> {
    const own = new Bystander()
    const connection = await amqp.connect(url)
    connection.on('error', (error) => (own.problem = error))
    const channel = await connection.createConfirmChannel()
    const { queue } = await channel.assertQueue('')
    await channel.consume(queue, (message) => {
      if (message === null) return
      own.got.push(Number(message.content))
      channel.ack(message)
    })
    own.#ended = own.#run(connection, async () => {
      channel.sendToQueue(queue, Buffer.from(String((own.sent += 1))))
      await channel.waitForConfirms()
    })
    return own
  }

  async #run(connection: amqp.ChannelModel, publish: () => Promise<void>): Promise<void> {
    try {
      while (!this.#stopped) {
        await publish()
        await delay(5)
      }
      await vi.waitFor(() => expect(this.got.length).toBe(this.sent), { timeout: 10_000 })
      await connection.close()
    } catch (error) {
      this.problem ??= error
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#ended
  }
}

describe.skipIf(inject('managementUrl') === '')('both brokers say the same to', () => {
  let targets: readonly [Target, Target]
  let bystander: Bystander

  beforeAll(async () => {
    targets = await Promise.all([
      rabbitmq(inject('brokerUrl'), inject('managementUrl'), 'hostile'),
      developmentBroker('hostile'),
    ])
    bystander = await Bystander.start(targets[1].url)
  })

  afterAll(async () => {
    await bystander.stop()
    await Promise.all(targets.map((target) => target[Symbol.asyncDispose]()))
    expect(bystander.problem).toBeUndefined()
    expect(bystander.sent).toBeGreaterThan(0)
    expect(bystander.got).toEqual(Array.from({ length: bystander.sent }, (_, n) => n + 1))
  })

  test.concurrent.for(cases)('$title', { timeout: 60_000 }, async (one) => {
    const [rabbit, development] = targets
    const [real, own] = await Promise.all([said(one, rabbit), said(one, development)])
    expect(real.map(brief)).toEqual(one.says)
    if (one.refuses === undefined) expect(own).toEqual(real)
    else expect(own).toEqual([one.refuses])
  })
})

async function said({ play }: HostileCase, target: Target): Promise<readonly Said[]> {
  const raw = new RawClient(target)
  try {
    await play(raw, target.vhost)
  } finally {
    raw.close()
  }
  return raw.said
}
