/** What an operator sets for queues and exchanges from outside. */
import { expect } from 'vitest'
import type { Scenario } from '../stage.ts'
import { fill } from './consuming.ts'

export const policies: readonly Scenario[] = [
  {
    title: 'a policy gives queues their dead-letter exchange, those that exist as well',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const grave = await channel.declare(stage.name('grave'))
      const before = await channel.declare(stage.name('before.q'))
      const definition = { 'dead-letter-exchange': '', 'dead-letter-routing-key': grave }
      await stage.setPolicy('dead', `^${stage.name('.*q$')}`, definition)
      const after = await channel.declare(stage.name('after.q'))
      const other = await channel.declare(stage.name('other'))
      let tag = 0
      for (const queue of [before, after, other]) {
        await fill(channel, queue, 1)
        tag = Number((await channel.do('basic.get', { queue })).delivery_tag)
        await channel.do('basic.nack', { delivery_tag: tag, requeue: false })
      }
      await channel.until(grave, 2)
      expect((await channel.drained(grave)).length).toBe(2)
      await stage.clearPolicy('dead')
      await fill(channel, before, 1)
      await channel.do('basic.get', { queue: before })
      await channel.do('basic.nack', { delivery_tag: tag + 3, requeue: false })
      expect(await channel.counts(before)).toEqual([0, 0])
      expect(await channel.counts(grave)).toEqual([0, 0])
    },
  },
  {
    title: 'of the argument and the policy the argument counts, of numbers the lower',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [one, two] = [await channel.declare(stage.name('one')), await channel.declare(stage.name('two'))]
      const definition = { 'max-length': 3, 'dead-letter-exchange': '', 'dead-letter-routing-key': one }
      await stage.setPolicy('both', `^${stage.name('q')}`, definition)
      const shorter = await channel.declare(stage.name('q.shorter'), { 'x-max-length': 2 })
      const longer = await channel.declare(stage.name('q.longer'), { 'x-max-length': 9 })
      const own = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': two }
      const withOwn = await channel.declare(stage.name('q.own'), own)
      await fill(channel, shorter, 5)
      await fill(channel, longer, 5)
      await fill(channel, withOwn, 5)
      expect(await channel.counts(shorter)).toEqual([2, 0])
      expect(await channel.counts(longer)).toEqual([3, 0])
      await channel.until(one, 5)
      await channel.until(two, 2)
    },
  },
  {
    title: 'of several policies the one of highest priority applies, alone',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      await stage.setPolicy('low', `^${stage.name('q')}`, { 'max-length': 1, 'message-ttl': 10 }, { priority: 1 })
      await stage.setPolicy('high', `^${stage.name('q')}`, { 'max-length': 2 }, { priority: 5 })
      const queue = await channel.declare(stage.name('q'))
      await fill(channel, queue, 4)
      expect(await channel.counts(queue)).toEqual([2, 0])
      await stage.clearPolicy('high')
      await channel.until(queue, 1)
      await fill(channel, queue, 1)
      await channel.until(queue, 0)
    },
  },
  {
    title: 'a policy with a time or a length reaches what lies in the queue',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [old, long] = [await channel.declare(stage.name('old')), await channel.declare(stage.name('long'))]
      await fill(channel, old, 3)
      await fill(channel, long, 5)
      await stage.setPolicy('long', `^${stage.name('long')}`, { 'max-length': 2 })
      await channel.until(long, 2)
      expect((await channel.drained(long)).map(({ body }) => body)).toEqual(['4', '5'])
      await stage.setPolicy('old', `^${stage.name('old')}`, { 'message-ttl': 50 })
      await fill(channel, old, 1)
      await stage.setPolicy('gone', `^${stage.name('old')}`, { expires: 100 }, { priority: 9 })
      await channel.untilGone(old)
    },
  },
  {
    title: 'a policy that rejects publishes of a full queue applies at once',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await fill(channel, queue, 1)
      await stage.setPolicy('full', `^${stage.name('q')}`, { 'max-length': 1, overflow: 'reject-publish' })
      await channel.until(queue, 1)
      await channel.send(queue, 'refused')
      expect((await channel.confirmed()).length).toBe(1)
      await stage.clearPolicy('full')
      await channel.until(queue, 1)
      await channel.send(queue, 'taken')
      expect(await channel.confirmed()).toEqual([])
    },
  },
  {
    title: 'a policy gives exchanges their alternate exchange',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const exchange = stage.name('x')
      await stage.setPolicy('other', `^${exchange}$`, { 'alternate-exchange': 'amq.fanout' }, { applyTo: 'exchanges' })
      await channel.do('exchange.declare', { exchange, type: 'topic' })
      const queue = await channel.declare(stage.name('x'))
      await channel.do('queue.bind', { queue, exchange: 'amq.fanout' })
      await channel.do('basic.publish', { exchange, routing_key: 'k', body: 'caught', mandatory: true })
      await channel.confirmed()
      expect(await channel.do('basic.get', { queue, no_ack: true })).toMatchObject({ body: 'caught', exchange })
      await channel.do('queue.unbind', { queue, exchange: 'amq.fanout' })
    },
  },
]
