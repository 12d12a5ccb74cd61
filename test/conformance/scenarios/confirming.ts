/** What a publisher is told: confirms, refusals and returns. */
import { expect } from 'vitest'
import type { Scenario } from '../stage.ts'

export const confirming: readonly Scenario[] = [
  {
    title: 'every publish is confirmed, whether or not a consumer has acknowledged it',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      for (let number = 1; number <= 20; number++) await channel.send(queue, String(number), { delivery_mode: 2 })
      expect(await channel.confirmed()).toEqual([])
      await channel.bodies(20)
      expect(await channel.counts(queue)).toEqual([0, 1])
    },
  },
  {
    title: 'a publish that reaches no queue is confirmed too',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      await channel.send(stage.name('nowhere'), 'lost')
      await channel.do('basic.publish', { exchange: 'amq.topic', routing_key: stage.name('k') })
      expect(await channel.confirmed()).toEqual([])
    },
  },
  {
    title: 'a mandatory publish that reaches no queue comes back whole, before its confirm',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const properties = { message_id: 'm', headers: { a: 1, b: 'text' }, content_type: 'text/plain', delivery_mode: 2 }
      const lost = { exchange: 'amq.topic', routing_key: stage.name('k'), mandatory: true, body: 'back', properties }
      await channel.do('basic.publish', lost)
      const first = await channel.events.take('anything', () => true)
      expect(first).toMatchObject({
        method: 'basic.return',
        reply_code: 312,
        reply_text: 'NO_ROUTE',
        exchange: 'amq.topic',
        routing_key: stage.name('k'),
        properties,
        body: 'back',
      })
      expect(await channel.confirmed()).toEqual([])
    },
  },
  {
    title: 'of several mandatory publishes those come back that reach no queue, without a body as well',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      for (const [routing_key, body] of [
        [queue, 'a'],
        ['none', 'b'],
        [queue, 'c'],
        ['none', ''],
      ] as const)
        await channel.do('basic.publish', {
          routing_key: routing_key === queue ? queue : stage.name('none'),
          mandatory: true,
          body,
        })
      expect(await channel.next('basic.return')).toMatchObject({ body: 'b' })
      expect(await channel.next('basic.return')).toMatchObject({ body: '' })
      expect(await channel.confirmed()).toEqual([])
      expect((await channel.drained(queue)).map(({ body }) => body)).toEqual(['a', 'c'])
    },
  },
  {
    title: 'a channel without confirms gets returns alone',
    play: async (stage) => {
      const channel = await stage.channel()
      const queue = await channel.declare(stage.name('q'))
      await channel.send(queue, 'kept')
      await channel.do('basic.publish', { routing_key: stage.name('none'), mandatory: true, body: 'back' })
      expect(await channel.next('basic.return')).toMatchObject({ body: 'back' })
      await channel.until(queue, 1)
      await channel.hearsNothing(queue)
    },
  },
  {
    title: 'confirms and deliveries of one channel are numbered apart',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.consume', { queue, consumer_tag: 'c', no_ack: true })
      for (const body of ['1', '2']) {
        await channel.send(queue, body)
        expect(await channel.confirmed()).toEqual([])
        expect(await channel.next('basic.deliver')).toMatchObject({ delivery_tag: Number(body) })
      }
      await channel.do('basic.cancel', { consumer_tag: 'c' })
      await channel.do('queue.delete', { queue })
      await channel.send(queue, 'late')
      expect(await channel.confirmed()).toEqual([])
    },
  },
  {
    title: 'a channel can do transactions instead of confirms',
    only: 'pika',
    notImplemented: 'transactions',
    play: async (stage) => {
      const link = await stage.connect()
      const [channel, other] = [await link.channel(), await link.channel({ confirm: true })]
      expect(await channel.do('tx.select', {})).toEqual({ method: 'tx.select-ok' })
      await other.refused('tx.select', {}, 406, 'PRECONDITION_FAILED - cannot switch from confirm to tx mode')
    },
  },
  {
    title: 'a publish to a closed exchange of a channel with confirms closes it, and what follows is lost',
    play: async (stage) => {
      const link = await stage.connect()
      const [channel, other] = [await link.channel({ confirm: true }), await link.channel()]
      const queue = await other.declare(stage.name('q'))
      const exchange = stage.name('none')
      await channel.send(queue, 'before')
      await channel.confirmed()
      await channel.do('basic.publish', { exchange, routing_key: 'k' })
      expect(await channel.next('close')).toMatchObject({ reply_code: 404 })
      expect(await other.counts(queue)).toEqual([1, 0])
    },
  },
]
