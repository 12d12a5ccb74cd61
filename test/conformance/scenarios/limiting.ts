/** How old messages may become, and how many a queue may hold. */
import { expect } from 'vitest'
import type { Scenario } from '../stage.ts'
import type { Frame } from '../vocabulary.ts'
import { fill } from './consuming.ts'

const bodies = (messages: readonly Frame[]): unknown[] => messages.map(({ body }) => body)

/** The reason of the last death. */
function reason(message: Frame | undefined): unknown {
  const deaths = message?.properties?.headers?.['x-death'] as readonly { reason: string }[] | undefined
  return deaths?.[0]?.reason
}

export const limiting: readonly Scenario[] = [
  {
    title: 'a message without time left is delivered to a waiting consumer, and else gone',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'), { 'x-message-ttl': 0 })
      const plain = await channel.declare(stage.name('plain'))
      await channel.send(queue, 'gone')
      await channel.send(plain, 'gone', { expiration: '0' })
      await channel.confirmed()
      expect([await channel.counts(queue), await channel.counts(plain)]).toEqual([
        [0, 0],
        [0, 0],
      ])
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await channel.do('basic.consume', { queue: plain, consumer_tag: 'd' })
      await channel.send(queue, 'taken')
      await channel.confirmed()
      expect(await channel.bodies(1)).toEqual(['taken'])
      await channel.send(plain, 'taken', { expiration: '0' })
      await channel.confirmed()
      expect(await channel.bodies(1)).toEqual(['taken'])
    },
  },
  {
    title: 'the shorter of the times of message and queue counts',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const short = await channel.declare(stage.name('short'), { 'x-message-ttl': 40 })
      const long = await channel.declare(stage.name('long'), { 'x-message-ttl': 60_000 })
      await channel.send(short, '1', { expiration: '60000' })
      await channel.send(long, '2', { expiration: '40' })
      await channel.confirmed()
      await channel.until(short, 0)
      await channel.until(long, 0)
    },
  },
  {
    title: 'a message expires when it has come to the head of the queue',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      const clock = await channel.declare(stage.name('clock'), { 'x-message-ttl': 150 })
      await channel.send(queue, 'stays')
      await channel.send(queue, 'short', { expiration: '50' })
      await channel.send(queue, 'also stays')
      await channel.send(clock, 'tick')
      await channel.confirmed()
      await channel.until(clock, 0)
      expect(await channel.counts(queue)).toEqual([3, 0])
      expect(bodies(await channel.drained(queue))).toEqual(['stays', 'also stays'])
    },
  },
  {
    title: 'what a consumer holds does not expire, and what it gives back does',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'), { 'x-message-ttl': 60 })
      const clock = await channel.declare(stage.name('clock'), { 'x-message-ttl': 150 })
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await fill(channel, queue, 1)
      await channel.bodies(1)
      await channel.do('basic.cancel', { consumer_tag: 'c' })
      await channel.send(clock, 'tick')
      await channel.confirmed()
      await channel.until(clock, 0)
      await channel.do('basic.nack', { delivery_tag: 1, requeue: true })
      await channel.until(queue, 0)
      expect(await channel.do('basic.get', { queue })).toEqual({ method: 'basic.get-empty' })
    },
  },
  {
    title: 'an expiration that is no time is refused',
    play: async (stage) => {
      const link = await stage.connect()
      const queue = await (await link.channel()).declare(stage.name('q'))
      for (const expiration of ['soon', '-1', '1.5', '', ' 1', '10s', '99999999999999'])
        await link.refused(
          'basic.publish',
          { routing_key: queue, properties: { expiration } },
          406,
          /^PRECONDITION_FAILED - invalid expiration '.*': /,
        )
    },
  },
  {
    title: 'a full queue drops its oldest messages, which die of maxlen',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const grave = await channel.declare(stage.name('grave'))
      const dead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': grave }
      const queue = await channel.declare(stage.name('q'), { 'x-max-length': 2, ...dead })
      await fill(channel, queue, 5)
      await channel.until(grave, 3)
      expect(bodies(await channel.drained(queue))).toEqual(['4', '5'])
      const letters = await channel.drained(grave)
      expect(letters.map((letter) => [letter.body, reason(letter)])).toEqual([
        ['1', 'maxlen'],
        ['2', 'maxlen'],
        ['3', 'maxlen'],
      ])
    },
  },
  {
    title: 'the length counts what is ready alone, and requeueing may drop',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'), { 'x-max-length': 2 })
      await fill(channel, queue, 2)
      await channel.do('basic.get', { queue })
      await channel.do('basic.get', { queue })
      await fill(channel, queue, 2)
      expect(await channel.counts(queue)).toEqual([2, 0])
      await channel.do('basic.nack', { delivery_tag: 1, requeue: true })
      await channel.counts(queue)
      await channel.do('basic.recover', { requeue: true })
      await channel.drained(queue)
    },
  },
  {
    title: 'what is given back at once comes to a full queue consumer by consumer, first what was fetched with get',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const grave = await channel.declare(stage.name('grave'))
      const dead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': grave }
      const queue = await channel.declare(stage.name('q'), { 'x-max-length': 2, ...dead })
      await channel.do('basic.qos', { prefetch_count: 1 })
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await channel.send(queue, 'delivered')
      await channel.bodies(1)
      await channel.do('basic.cancel', { consumer_tag: 'c' })
      await channel.send(queue, 'fetched')
      await channel.confirmed()
      await channel.do('basic.get', { queue })
      await fill(channel, queue, 2)
      await channel.do('basic.nack', { delivery_tag: 0, multiple: true, requeue: true })
      await channel.until(grave, 2)
      expect(bodies(await channel.drained(grave))).toEqual(['fetched', 'delivered'])
      expect(bodies(await channel.drained(queue))).toEqual(['1', '2'])
    },
  },
  {
    title: 'a queue of length 0 keeps nothing, and hands on to a consumer',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'), { 'x-max-length': 0 })
      await fill(channel, queue, 1)
      expect(await channel.counts(queue)).toEqual([0, 0])
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await channel.send(queue, 'taken')
      await channel.confirmed()
      expect(await channel.bodies(1)).toEqual(['taken'])
    },
  },
  {
    title: 'bytes are counted of bodies alone, and the oldest go until it fits',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'), { 'x-max-length-bytes': 10 })
      for (const body of ['aaaa', 'bbbb', '', 'cc'])
        await channel.send(queue, body, { message_id: 'an id of some length' })
      await channel.confirmed()
      expect(await channel.counts(queue)).toEqual([4, 0])
      await channel.send(queue, 'dddddd')
      await channel.confirmed()
      expect(bodies(await channel.drained(queue))).toEqual(['', 'cc', 'dddddd'])
      await channel.send(queue, 'more than ten bytes')
      await channel.confirmed()
      expect(await channel.counts(queue)).toEqual([0, 0])
    },
  },
  {
    title: 'a full queue that rejects publishes keeps what it has, and the publisher is told',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const grave = await channel.declare(stage.name('grave'))
      const dead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': grave }
      const queue = await channel.declare(stage.name('q'), {
        'x-max-length': 2,
        'x-overflow': 'reject-publish',
        ...dead,
      })
      const taken: string[] = []
      for (const body of ['1', '2', '3', '4']) {
        await channel.send(queue, body)
        if ((await channel.confirmed()).length === 0) taken.push(body)
      }
      expect(bodies(await channel.drained(queue))).toEqual(taken)
      expect(taken).toEqual(['1', '2'])
      expect(await channel.counts(grave)).toEqual([0, 0])
      for (const body of ['5', '6']) await channel.send(queue, body)
      expect(await channel.confirmed()).toEqual([])
      // what somebody holds does not count
      await channel.do('basic.get', { queue })
      await channel.send(queue, '7')
      expect(await channel.confirmed()).toEqual([])
      await channel.send(queue, '8')
      expect(await channel.confirmed()).toEqual([8])
    },
  },
  {
    title: 'a full queue that rejects and dead-letters publishes hands on what it does not take',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const grave = await channel.declare(stage.name('grave'))
      const dead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': grave }
      const queue = await channel.declare(stage.name('q'), {
        'x-max-length': 1,
        'x-overflow': 'reject-publish-dlx',
        ...dead,
      })
      await channel.send(queue, '1')
      expect(await channel.confirmed()).toEqual([])
      await channel.send(queue, '2')
      expect(await channel.confirmed()).toEqual([2])
      await channel.until(grave, 1)
      const [letter] = await channel.drained(grave)
      expect([letter?.body, reason(letter)]).toEqual(['2', 'maxlen'])
      expect(bodies(await channel.drained(queue))).toEqual(['1'])
    },
  },
  {
    title:
      'a message for several queues is refused to the publisher when one of them refuses it, and the others keep it',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const exchange = stage.name('x')
      await channel.do('exchange.declare', { exchange, type: 'fanout' })
      const full = await channel.declare(stage.name('full'), { 'x-max-length': 0, 'x-overflow': 'reject-publish' })
      const free = await channel.declare(stage.name('free'))
      for (const queue of [full, free]) await channel.do('queue.bind', { queue, exchange })
      await channel.do('basic.publish', { exchange, body: '1' })
      expect(await channel.confirmed()).toEqual([1])
      // the refusal of one does not wait for the others
      await channel.until(free, 1)
      expect(await channel.counts(free)).toEqual([1, 0])
    },
  },
]
