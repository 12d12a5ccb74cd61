/** Who gets a message of a queue, and how many at once. */
import { expect } from 'vitest'
import type { Channel } from '../channel.ts'
import type { Scenario } from '../stage.ts'

/** Publishes bodies '1' … and waits for the confirms. */
export async function fill(channel: Channel, queue: string, count: number): Promise<void> {
  for (let number = 1; number <= count; number++) await channel.send(queue, String(number))
  await channel.confirmed()
}

export const consuming: readonly Scenario[] = [
  {
    title: 'deliveries come in order, numbered from 1 on each channel, with what was published',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await fill(channel, queue, 3)
      expect(await channel.do('basic.consume', { queue, consumer_tag: 'c' })).toEqual({
        method: 'basic.consume-ok',
        consumer_tag: 'c',
      })
      for (const tag of [1, 2, 3]) {
        expect(await channel.next('basic.deliver')).toMatchObject({
          consumer_tag: 'c',
          delivery_tag: tag,
          redelivered: false,
          exchange: '',
          routing_key: queue,
          body: String(tag),
        })
      }
      expect(await channel.counts(queue)).toEqual([0, 1])
      await channel.hearsNothing(queue)
    },
  },
  {
    title: 'consumers take turns',
    play: async (stage) => {
      const link = await stage.connect()
      const [one, two, publisher] = [await link.channel(), await link.channel(), await link.channel({ confirm: true })]
      const queue = await publisher.declare(stage.name('q'))
      await one.do('basic.consume', { queue, consumer_tag: 'one', no_ack: true })
      await two.do('basic.consume', { queue, consumer_tag: 'two', no_ack: true })
      await fill(publisher, queue, 6)
      expect([await one.bodies(3), await two.bodies(3)]).toEqual([
        ['1', '3', '5'],
        ['2', '4', '6'],
      ])
    },
  },
  {
    title: 'prefetch counts for each consumer that begins after it, and is told what is left over',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.qos', { prefetch_count: 2 })
      await channel.do('basic.consume', { queue, consumer_tag: 'two' })
      await channel.do('basic.qos', { prefetch_count: 1 })
      await channel.do('basic.consume', { queue, consumer_tag: 'one' })
      await fill(channel, queue, 5)
      const got = [
        await channel.next('basic.deliver'),
        await channel.next('basic.deliver'),
        await channel.next('basic.deliver'),
      ]
      expect(got.map(({ consumer_tag: tag = '' }) => tag).toSorted()).toEqual(['one', 'two', 'two'])
      await channel.hearsNothing(queue)
      expect(await channel.counts(queue)).toEqual([2, 2])
      const tagOfOne = got.find(({ consumer_tag: tag }) => tag === 'one')?.delivery_tag
      await channel.do('basic.ack', { delivery_tag: Number(tagOfOne) })
      expect(await channel.next('basic.deliver')).toMatchObject({ consumer_tag: 'one', body: '4' })
      await channel.hearsNothing(queue)
    },
  },
  {
    title: 'a global prefetch counts for the channel, beside that of each consumer',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.qos', { prefetch_count: 2 })
      await channel.do('basic.qos', { prefetch_count: 3, global: true })
      await channel.do('basic.consume', { queue, consumer_tag: 'one' })
      await channel.do('basic.consume', { queue, consumer_tag: 'two' })
      await fill(channel, queue, 5)
      expect(await channel.bodies(3)).toEqual(['1', '2', '3'])
      await channel.hearsNothing(queue)
      await channel.do('basic.ack', { delivery_tag: 2, multiple: true })
      expect(await channel.bodies(2)).toEqual(['4', '5'])
    },
  },
  {
    title: 'a prefetch for consumers undoes the global one that was asked for before',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.qos', { prefetch_count: 1, global: true })
      await channel.do('basic.qos', { prefetch_count: 2 })
      await channel.do('basic.consume', { queue, consumer_tag: 'one' })
      await channel.do('basic.consume', { queue, consumer_tag: 'two' })
      await fill(channel, queue, 5)
      expect(await channel.bodies(4)).toEqual(['1', '2', '3', '4'])
      await channel.hearsNothing(queue)
    },
  },
  {
    title: 'a lower global prefetch holds deliveries back until enough is settled, a higher one lets them go at once',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.qos', { prefetch_count: 2, global: true })
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await fill(channel, queue, 6)
      expect(await channel.bodies(2)).toEqual(['1', '2'])
      await channel.do('basic.qos', { prefetch_count: 1, global: true })
      await channel.do('basic.ack', { delivery_tag: 1 })
      await channel.hearsNothing(queue)
      await channel.do('basic.ack', { delivery_tag: 2 })
      expect(await channel.bodies(1)).toEqual(['3'])
      await channel.do('basic.qos', { prefetch_count: 3, global: true })
      expect(await channel.bodies(2)).toEqual(['4', '5'])
      await channel.do('basic.qos', { prefetch_count: 0, global: true })
      expect(await channel.bodies(1)).toEqual(['6'])
    },
  },
  {
    title: 'prefetch does not count what is fetched with get, nor what needs no acknowledgement',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.qos', { prefetch_count: 1 })
      await fill(channel, queue, 4)
      expect(await channel.do('basic.get', { queue })).toMatchObject({ body: '1', message_count: 3 })
      expect(await channel.do('basic.get', { queue })).toMatchObject({ body: '2', message_count: 2 })
      await channel.do('basic.consume', { queue, consumer_tag: 'c', no_ack: true })
      expect(await channel.bodies(2)).toEqual(['3', '4'])
    },
  },
  {
    title: 'a consumer of higher priority gets all it can take, and others the rest',
    play: async (stage) => {
      const link = await stage.connect()
      const [low, high, publisher] = [await link.channel(), await link.channel(), await link.channel({ confirm: true })]
      const queue = await publisher.declare(stage.name('q'))
      await low.do('basic.consume', { queue, consumer_tag: 'low', no_ack: true })
      await high.do('basic.qos', { prefetch_count: 2 })
      await high.do('basic.consume', { queue, consumer_tag: 'high', arguments: { 'x-priority': 10 } })
      await fill(publisher, queue, 4)
      expect([await high.bodies(2), await low.bodies(2)]).toEqual([
        ['1', '2'],
        ['3', '4'],
      ])
      await high.do('basic.ack', { delivery_tag: 2, multiple: true })
      await high.until(queue, 0, 2)
      await fill(publisher, queue, 1)
      expect(await high.bodies(1)).toEqual(['1'])
    },
  },
  {
    title: 'arguments of a consumer that make no sense are refused',
    play: async (stage) => {
      const link = await stage.connect()
      const queue = await (await link.channel()).declare(stage.name('q'))
      for (const [name, value] of [
        ['x-priority', 'high'],
        ['x-cancel-on-ha-failover', 'yes'],
        ['x-stream-offset', 'first'],
      ] as const) {
        const consume = { queue, consumer_tag: 'c', arguments: { [name]: value } }
        await link.refused('basic.consume', consume, 406, new RegExp(`^PRECONDITION_FAILED - .*'${name}'`))
      }
    },
  },
  {
    title: 'an exclusive consumer stays alone',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel()
      const queue = await channel.declare(stage.name('q'))
      const text = `ACCESS_REFUSED - queue '${queue}' ${stage.inVhost} in exclusive use`
      await channel.do('basic.consume', { queue, consumer_tag: 'one', exclusive: true })
      await link.refused('basic.consume', { queue, consumer_tag: 'two' }, 403, text)
      await link.refused('basic.consume', { queue, consumer_tag: 'two', exclusive: true }, 403, text)
      await channel.do('basic.cancel', { consumer_tag: 'one' })
      const other = await link.channel()
      expect(await other.do('basic.consume', { queue, consumer_tag: 'two' })).toMatchObject({ consumer_tag: 'two' })
      await link.refused('basic.consume', { queue, consumer_tag: 'three', exclusive: true }, 403, text)
    },
  },
  {
    title: 'a consumer tag may be the same on another channel',
    play: async (stage) => {
      const link = await stage.connect()
      const [channel, other] = [await link.channel(), await link.channel()]
      const queue = await channel.declare(stage.name('q'))
      await other.do('basic.consume', { queue, consumer_tag: 'c' })
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      expect(await channel.counts(queue)).toEqual([0, 2])
    },
  },
  {
    title: 'with a single active consumer the first gets all, and the next when that one goes',
    play: async (stage) => {
      const link = await stage.connect()
      const [one, two, publisher] = [await link.channel(), await link.channel(), await link.channel({ confirm: true })]
      const queue = await publisher.declare(stage.name('q'), { 'x-single-active-consumer': true })
      await one.do('basic.consume', { queue, consumer_tag: 'one' })
      await two.do('basic.consume', { queue, consumer_tag: 'two' })
      await fill(publisher, queue, 3)
      expect(await one.bodies(3)).toEqual(['1', '2', '3'])
      await two.hearsNothing(queue)
      await one.do('basic.ack', { delivery_tag: 1 })
      await one.do('channel.close', {})
      expect(await two.next('basic.deliver')).toMatchObject({ body: '2', redelivered: true })
      expect(await two.next('basic.deliver')).toMatchObject({ body: '3', redelivered: true })
      await link.refused('basic.consume', { queue, consumer_tag: 'x', exclusive: true }, 403, /^ACCESS_REFUSED - /)
    },
  },
  {
    title: 'a cancelled consumer gets no more, and keeps what it has',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.qos', { prefetch_count: 1 })
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await fill(channel, queue, 2)
      expect(await channel.bodies(1)).toEqual(['1'])
      expect(await channel.do('basic.cancel', { consumer_tag: 'c' })).toEqual({
        method: 'basic.cancel-ok',
        consumer_tag: 'c',
      })
      await channel.do('basic.ack', { delivery_tag: 1 })
      await channel.hearsNothing(queue)
      expect(await channel.counts(queue)).toEqual([1, 0])
      expect(await channel.do('basic.get', { queue, no_ack: true })).toMatchObject({ body: '2', redelivered: false })
    },
  },
  {
    title: 'what a consumer had makes room, when it is settled, for the next one of its tag',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.qos', { prefetch_count: 1 })
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await fill(channel, queue, 3)
      expect(await channel.bodies(1)).toEqual(['1'])
      await channel.do('basic.cancel', { consumer_tag: 'c' })
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      expect(await channel.bodies(1)).toEqual(['2'])
      await channel.hearsNothing(queue)
      await channel.do('basic.ack', { delivery_tag: 1 })
      expect(await channel.bodies(1)).toEqual(['3'])
    },
  },
  {
    title: 'cancelling a consumer that there is not is no mistake',
    only: 'amqplib',
    play: async (stage) => {
      const channel = await stage.channel()
      expect(await channel.do('basic.cancel', { consumer_tag: 'nobody' })).toEqual({
        method: 'basic.cancel-ok',
        consumer_tag: 'nobody',
      })
    },
  },
  {
    title: 'the consumers of a queue are told when it is deleted',
    play: async (stage) => {
      const [one, two] = [await stage.channel(), await stage.channel()]
      const queue = await one.declare(stage.name('q'))
      await one.do('basic.consume', { queue, consumer_tag: 'a' })
      await one.do('basic.consume', { queue, consumer_tag: 'b' })
      await two.do('basic.consume', { queue, consumer_tag: 'c' })
      await two.do('queue.delete', { queue })
      expect(await two.next('basic.cancel')).toMatchObject({ consumer_tag: 'c' })
      const told = [await one.events.take('cancel', () => true), await one.events.take('cancel', () => true)]
      expect(told.map(({ consumer_tag: tag = '' }) => tag).toSorted()).toEqual(['a', 'b'])
      expect(await one.declare(queue)).toBe(queue)
    },
  },
  {
    title: 'get takes one message, tells how many are left, or that there is none',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      expect(await channel.do('basic.get', { queue })).toEqual({ method: 'basic.get-empty' })
      await fill(channel, queue, 2)
      const got = { method: 'basic.get-ok', redelivered: false, exchange: '', routing_key: queue }
      expect(await channel.do('basic.get', { queue })).toMatchObject({
        ...got,
        delivery_tag: 1,
        message_count: 1,
        body: '1',
      })
      expect(await channel.do('basic.get', { queue })).toMatchObject({
        ...got,
        delivery_tag: 2,
        message_count: 0,
        body: '2',
      })
      expect(await channel.do('basic.get', { queue })).toEqual({ method: 'basic.get-empty' })
      await channel.do('basic.nack', { delivery_tag: 1, requeue: true })
      await channel.until(queue, 1)
      const again = { ...got, redelivered: true, delivery_tag: 3, message_count: 0, body: '1' }
      expect(await channel.do('basic.get', { queue, no_ack: true })).toMatchObject(again)
    },
  },
  {
    title: 'a quorum queue counts deliveries',
    notImplemented: 'quorum',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = stage.name('q')
      const fields = { queue, durable: true, arguments: { 'x-queue-type': 'quorum' } }
      expect(await channel.do('queue.declare', fields)).toMatchObject({ queue })
      await fill(channel, queue, 1)
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await channel.bodies(1)
      await channel.do('basic.nack', { delivery_tag: 1, requeue: true })
      const { properties } = await channel.next('basic.deliver')
      expect(properties?.headers).toMatchObject({ 'x-delivery-count': 1 })
      await channel.do('queue.delete', { queue })
    },
  },
  {
    title: 'a stream is declared',
    notImplemented: 'stream',
    play: async (stage) => {
      const channel = await stage.channel()
      const queue = stage.name('q')
      const fields = { queue, durable: true, arguments: { 'x-queue-type': 'stream' } }
      expect(await channel.do('queue.declare', fields)).toMatchObject({ queue })
    },
  },
  {
    title: 'answers come straight to a channel that asks for it',
    notImplemented: 'directReplyTo',
    play: async (stage) => {
      const channel = await stage.channel()
      const consume = { queue: 'amq.rabbitmq.reply-to', consumer_tag: 'c', no_ack: true }
      expect(await channel.do('basic.consume', consume)).toMatchObject({ consumer_tag: 'c' })
    },
  },
  {
    title: 'a queue with priorities gives out the highest first, and equal ones in order',
    notImplemented: 'priorities',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'), { 'x-max-priority': 5 })
      for (const [body, priority] of [
        ['a', 1],
        ['b', 5],
        ['c', 0],
        ['d', 5],
        ['e', 9],
        ['f', 1],
      ] as const)
        await channel.send(queue, body, { priority })
      await channel.send(queue, 'g')
      await channel.confirmed()
      expect((await channel.drained(queue)).map(({ body }) => body)).toEqual(['b', 'd', 'e', 'a', 'f', 'c', 'g'])
    },
  },
]
