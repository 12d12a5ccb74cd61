/** Acknowledging, rejecting and requeueing. */
import { expect } from 'vitest'
import type { Scenario } from '../stage.ts'
import type { Frame } from '../vocabulary.ts'
import { fill } from './consuming.ts'

const bodyAndFlag = ({ body, redelivered }: Frame): string => `${body}${redelivered === true ? ' again' : ''}`

export const settling: readonly Scenario[] = [
  {
    title: 'an ack with multiple settles all up to its tag, and with tag 0 all there is',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await fill(channel, queue, 6)
      await channel.bodies(6)
      await channel.do('basic.ack', { delivery_tag: 3 })
      await channel.do('basic.ack', { delivery_tag: 4, multiple: true })
      await channel.do('channel.close', {})
      const other = await link.channel()
      await other.until(queue, 2)
      await other.do('basic.get', { queue })
      await other.do('basic.get', { queue })
      await other.do('basic.ack', { delivery_tag: 0, multiple: true })
      await other.do('channel.close', {})
      expect(await (await link.channel()).counts(queue)).toEqual([0, 0])
    },
  },
  {
    title: 'an ack of an unknown tag, or the second of a tag, closes the channel',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      const text = (tag: number): string => `PRECONDITION_FAILED - unknown delivery tag ${tag}`
      await link.refused('basic.ack', { delivery_tag: 1 }, 406, text(1))
      await link.refused('basic.ack', { delivery_tag: 5, multiple: true }, 406, text(5))
      await link.refused('basic.nack', { delivery_tag: 2, requeue: true }, 406, text(2))
      await link.refused('basic.reject', { delivery_tag: 3, requeue: false }, 406, text(3))
      await link.refused('basic.ack', { delivery_tag: 0 }, 406, text(0))
      await fill(channel, queue, 1)
      await channel.do('basic.get', { queue })
      await channel.do('basic.ack', { delivery_tag: 1 })
      await channel.refused('basic.ack', { delivery_tag: 1 }, 406, text(1))
      expect(await (await link.channel()).counts(queue)).toEqual([0, 0])
    },
  },
  {
    title: 'what is given back at once comes to a consumer in its old order, what was fetched with get as well',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.qos', { prefetch_count: 1 })
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await fill(channel, queue, 3)
      expect(await channel.bodies(1)).toEqual(['1'])
      await channel.do('basic.get', { queue })
      await channel.do('basic.nack', { delivery_tag: 0, multiple: true, requeue: true })
      for (const body of ['1', '2', '3']) {
        const { delivery_tag: tag, ...delivery } = await channel.next('basic.deliver')
        expect(delivery).toMatchObject({ body, redelivered: body !== '3' })
        await channel.do('basic.ack', { delivery_tag: Number(tag) })
      }
    },
  },
  {
    title: 'an ack of all, when there is none, is no mistake',
    play: async (stage) => {
      const channel = await stage.channel()
      await channel.do('basic.ack', { delivery_tag: 0, multiple: true })
      await channel.do('basic.nack', { delivery_tag: 0, multiple: true, requeue: true })
      await channel.declare(stage.name('q'))
    },
  },
  {
    title: 'an ack of what needed none closes the channel',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.consume', { queue, consumer_tag: 'c', no_ack: true })
      await fill(channel, queue, 1)
      await channel.bodies(1)
      await channel.refused('basic.ack', { delivery_tag: 1 }, 406, 'PRECONDITION_FAILED - unknown delivery tag 1')
    },
  },
  {
    title: 'what is requeued stands where it stood, and is flagged',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await fill(channel, queue, 5)
      for (let count = 1; count <= 4; count++) await channel.do('basic.get', { queue })
      await channel.do('basic.reject', { delivery_tag: 3, requeue: true })
      await channel.do('basic.nack', { delivery_tag: 1, requeue: true })
      await channel.until(queue, 3)
      await channel.do('basic.nack', { delivery_tag: 2, requeue: true })
      await channel.until(queue, 4)
      const left = await channel.drained(queue)
      expect(left.map(bodyAndFlag)).toEqual(['1 again', '2 again', '3 again', '5'])
      await channel.do('basic.nack', { delivery_tag: 4, requeue: false })
      expect(await channel.counts(queue)).toEqual([0, 0])
    },
  },
  {
    title: 'a nack with multiple requeues or drops all up to its tag',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await fill(channel, queue, 6)
      for (let count = 1; count <= 5; count++) await channel.do('basic.get', { queue })
      await channel.do('basic.nack', { delivery_tag: 2, multiple: true, requeue: false })
      await channel.do('basic.nack', { delivery_tag: 4, multiple: true, requeue: true })
      await channel.until(queue, 3)
      await channel.do('basic.nack', { delivery_tag: 0, multiple: true, requeue: true })
      await channel.until(queue, 4)
      expect((await channel.drained(queue)).map(bodyAndFlag)).toEqual(['3 again', '4 again', '5 again', '6'])
    },
  },
  {
    title: 'a message requeued comes to a consumer at once, with the next tag',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.qos', { prefetch_count: 1 })
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await fill(channel, queue, 2)
      expect(await channel.next('basic.deliver')).toMatchObject({ delivery_tag: 1, body: '1', redelivered: false })
      await channel.do('basic.reject', { delivery_tag: 1, requeue: true })
      expect(await channel.next('basic.deliver')).toMatchObject({ delivery_tag: 2, body: '1', redelivered: true })
      await channel.do('basic.nack', { delivery_tag: 2, requeue: true })
      expect(await channel.next('basic.deliver')).toMatchObject({ delivery_tag: 3, body: '1', redelivered: true })
      await channel.do('basic.ack', { delivery_tag: 3 })
      expect(await channel.next('basic.deliver')).toMatchObject({ delivery_tag: 4, body: '2', redelivered: false })
    },
  },
  {
    title: 'recover requeues all that the channel has not settled',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await fill(channel, queue, 3)
      for (let count = 1; count <= 3; count++) await channel.do('basic.get', { queue })
      await channel.do('basic.ack', { delivery_tag: 2 })
      expect(await channel.do('basic.recover', { requeue: true })).toEqual({ method: 'basic.recover-ok' })
      await channel.until(queue, 2)
      expect((await channel.drained(queue)).map(bodyAndFlag)).toEqual(['1 again', '3 again'])
      await channel.refused('basic.ack', { delivery_tag: 1 }, 406, 'PRECONDITION_FAILED - unknown delivery tag 1')
    },
  },
  {
    title: 'recover without requeue is not implemented',
    only: 'pika',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel()
      const text = 'NOT_IMPLEMENTED - requeue=false'
      await channel.refused('basic.recover', { requeue: false }, 540, text)
      await link.closed(540, text)
    },
  },
  {
    title: 'a channel that closes gives back what it has not settled, in order',
    play: async (stage) => {
      const link = await stage.connect()
      const [channel, other] = [await link.channel({ confirm: true }), await link.channel()]
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await fill(channel, queue, 4)
      await channel.bodies(4)
      await channel.do('basic.ack', { delivery_tag: 2 })
      await channel.refused('basic.ack', { delivery_tag: 9 }, 406, 'PRECONDITION_FAILED - unknown delivery tag 9')
      await other.until(queue, 3)
      expect((await other.drained(queue)).map(bodyAndFlag)).toEqual(['1 again', '3 again', '4 again'])
    },
  },
  {
    title: 'a connection that is lost gives back what it has not settled, in order',
    play: async (stage) => {
      const [lost, link] = [await stage.connect(), await stage.connect()]
      const [channel, other] = [await lost.channel({ confirm: true }), await link.channel({ confirm: true })]
      const queue = await channel.declare(stage.name('q'))
      await fill(channel, queue, 4)
      await channel.do('basic.get', { queue })
      await channel.do('basic.qos', { prefetch_count: 2 })
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await channel.bodies(2)
      await other.do('basic.consume', { queue, consumer_tag: 'd' })
      expect(await other.bodies(1)).toEqual(['4'])
      await lost.drop()
      const got = [
        await other.next('basic.deliver'),
        await other.next('basic.deliver'),
        await other.next('basic.deliver'),
      ]
      expect(got.map(bodyAndFlag).toSorted()).toEqual(['1 again', '2 again', '3 again'])
    },
  },
]
