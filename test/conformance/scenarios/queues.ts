/** Declaring, deleting and protecting queues, and how long they live. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Scenario } from '../stage.ts'

export const queues: readonly Scenario[] = [
  {
    title: 'a queue declared again tells its counts, and in another way it is refused',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel({ confirm: true })
      const queue = stage.name('q')
      const fields = { queue, durable: true }
      const ok = { method: 'queue.declare-ok', queue, message_count: 0, consumer_count: 0 }
      expect(await channel.do('queue.declare', fields)).toEqual(ok)
      await channel.send(queue, '1')
      await channel.send(queue, '2')
      await channel.confirmed()
      expect(await channel.do('queue.declare', fields)).toEqual({ ...ok, message_count: 2 })
      const refusal = (argument: string, received: string, current: string): string =>
        `PRECONDITION_FAILED - inequivalent arg '${argument}' for queue '${queue}' ${stage.inVhost}: received ${received} but current is ${current}`
      await link.refused('queue.declare', { queue }, 406, refusal('durable', `'false'`, `'true'`))
      const vanishing = { ...fields, auto_delete: true }
      await link.refused('queue.declare', vanishing, 406, refusal('auto_delete', `'true'`, `'false'`))
      for (const [name, value] of [
        ['x-message-ttl', 1000],
        ['x-expires', 1000],
        ['x-max-length', 5],
        ['x-max-length-bytes', 5],
        ['x-dead-letter-exchange', 'dlx'],
        ['x-overflow', 'reject-publish'],
        ['x-single-active-consumer', true],
        ['x-max-priority', 5],
        ['x-queue-version', 2],
        ['x-queue-master-locator', 'client-local'],
      ] as const) {
        const other = { ...fields, arguments: { [name]: value } }
        await link.refused(
          'queue.declare',
          other,
          406,
          new RegExp(`inequivalent arg '${name}' for queue .*${String(value)}.* none$`),
        )
      }
      expect(await channel.do('queue.declare', { ...fields, arguments: { unknown: 1 } })).toMatchObject({ queue })
    },
  },
  {
    title: 'an argument of a queue is compared by its value, whatever type of integer it has',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel()
      const queue = await channel.declare(stage.name('q'), {
        'x-message-ttl': 60_000,
        'x-max-length': 5,
        'x-dead-letter-exchange': 'one',
      })
      const same = { 'x-message-ttl': 60_000, 'x-max-length': 5, 'x-dead-letter-exchange': 'one' }
      const { 'x-message-ttl': _ttl, ...without } = same
      for (const [other, problem] of [
        [{ ...same, 'x-message-ttl': 50_000 }, /'x-message-ttl' .*: received '50000' but current is '60000'$/],
        [{ ...same, 'x-max-length': 6 }, /'x-max-length' .*: received '6' but current is '5'$/],
        [
          { ...same, 'x-dead-letter-exchange': 'two' },
          /'x-dead-letter-exchange' .*: received 'two' but current is 'one'$/,
        ],
        [{ ...same, 'x-dead-letter-exchange': 2 }, /'x-dead-letter-exchange'/],
        [without, /'x-message-ttl' .*: received none but current is the value '60000' of type '\w+'$/],
      ] as const)
        await link.refused('queue.declare', { queue, arguments: other }, 406, problem)
    },
  },
  {
    title: 'arguments that make no sense are refused',
    play: async (stage) => {
      const link = await stage.connect()
      const queue = stage.name('q')
      const refusal = (argument: string): RegExp =>
        new RegExp(`^PRECONDITION_FAILED - invalid .*'${argument}' .*queue '${queue}' ${stage.inVhost}`)
      for (const [name, value] of [
        ['x-message-ttl', -1],
        ['x-message-ttl', 'soon'],
        ['x-message-ttl', 4_294_967_296_000],
        ['x-expires', 0],
        ['x-expires', -5],
        ['x-max-length', -1],
        ['x-max-length', 'many'],
        ['x-max-length-bytes', -1],
        ['x-overflow', 'explode'],
        ['x-overflow', 5],
        ['x-message-ttl', true],
        ['x-queue-mode', 5],
        ['x-queue-type', 5],
        ['x-dead-letter-exchange', 5],
        ['x-single-active-consumer', 'yes'],
        ['x-queue-mode', 'odd'],
        ['x-queue-type', 'odd'],
        ['x-queue-version', 3],
        ['x-queue-version', 'new'],
        ['x-max-priority', 256],
        ['x-max-priority', -1],
        ['x-delivery-limit', 5],
        ['x-dead-letter-strategy', 'at-least-once'],
        ['x-initial-cluster-size', 3],
        ['x-max-age', '1h'],
        ['x-max-in-memory-bytes', 5],
        ['x-max-in-memory-length', 5],
        ['x-queue-leader-locator', 'client-local'],
        ['x-quorum-initial-group-size', 3],
        ['x-stream-max-segment-size-bytes', 100],
      ] as const) {
        await link.refused('queue.declare', { queue, arguments: { [name]: value } }, 406, refusal(name))
      }
      const withExchange = { 'x-dead-letter-exchange': 'dlx', 'x-dead-letter-routing-key': 5 }
      await link.refused('queue.declare', { queue, arguments: withExchange }, 406, refusal('x-dead-letter-routing-key'))
      const locator = { queue, arguments: { 'x-queue-master-locator': 'nowhere' } }
      await (await stage.connect()).refused('queue.declare', locator, 541, 'INTERNAL_ERROR')
      // of several it is the first, in an order of its own
      for (const [first, second] of [
        ['x-queue-type', 'x-expires'],
        ['x-dead-letter-routing-key', 'x-max-length'],
        ['x-max-priority', 'x-overflow'],
        ['x-queue-mode', 'x-queue-version'],
        ['x-queue-version', 'x-single-active-consumer'],
        ['x-overflow', 'x-delivery-limit'],
      ] as const) {
        const both = { [second]: -1, [first]: -1 }
        await link.refused('queue.declare', { queue, arguments: both }, 406, refusal(first))
      }
      const routingKey = { queue, arguments: { 'x-dead-letter-routing-key': 'k' } }
      await link.refused('queue.declare', routingKey, 406, refusal('x-dead-letter-routing-key'))
    },
  },
  {
    title: 'a queue that does not exist is not found, and nothing is wrong with deleting it',
    play: async (stage) => {
      const link = await stage.connect()
      const queue = stage.name('none')
      const text = `NOT_FOUND - no queue '${queue}' ${stage.inVhost}`
      await link.refused('queue.declare', { queue, passive: true }, 404, text)
      await link.refused('queue.bind', { queue, exchange: 'amq.topic', routing_key: 'k' }, 404, text)
      await link.refused('queue.purge', { queue }, 404, text)
      await link.refused('basic.get', { queue }, 404, text)
      await link.refused('basic.consume', { queue, consumer_tag: 'c' }, 404, text)
      const channel = await link.channel()
      expect(await channel.do('queue.delete', { queue })).toEqual({ method: 'queue.delete-ok', message_count: 0 })
      expect(await channel.do('queue.unbind', { queue, exchange: 'amq.topic' })).toEqual({ method: 'queue.unbind-ok' })
    },
  },
  {
    title: 'a name that begins with amq. is reserved for queues of the broker',
    play: async (stage) => {
      const link = await stage.connect()
      const text = `ACCESS_REFUSED - queue name 'amq.own' contains reserved prefix 'amq.*'`
      await link.refused('queue.declare', { queue: 'amq.own' }, 403, text)
      const missing = `NOT_FOUND - no queue 'amq.own' ${stage.inVhost}`
      await link.refused('queue.declare', { queue: 'amq.own', passive: true }, 404, missing)
    },
  },
  {
    title: 'the broker names a queue that has no name, and the channel remembers the last one declared',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const one = (await channel.do('queue.declare', { exclusive: true })).queue ?? ''
      const two = (await channel.do('queue.declare', { exclusive: true })).queue ?? ''
      expect(one).toMatch(/^amq\.gen-[\w-]{22}$/)
      expect(two).toMatch(/^amq\.gen-[\w-]{22}$/)
      expect(two).not.toBe(one)
      await channel.send(two, 'to the last')
      await channel.confirmed()
      expect(await channel.do('basic.get', { queue: '', no_ack: true })).toMatchObject({ body: 'to the last' })
      await channel.do('queue.bind', { queue: '', exchange: 'amq.topic', routing_key: stage.name('k') })
      await channel.do('basic.publish', { exchange: 'amq.topic', routing_key: stage.name('k'), body: 'bound' })
      await channel.confirmed()
      await channel.do('basic.consume', { queue: '', consumer_tag: 'c', no_ack: true })
      expect(await channel.bodies(1)).toEqual(['bound'])
    },
  },
  {
    title: 'a name may be long, and of any letters',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      for (const queue of [stage.name('n'.repeat(240)), stage.name('ünïcödé ✓ name')]) {
        expect(await channel.do('queue.declare', { queue })).toMatchObject({ queue })
        await channel.send(queue, 'here')
        await channel.confirmed()
        expect(await channel.counts(queue)).toEqual([1, 0])
      }
    },
  },
  {
    title: 'line breaks are taken out of a name',
    only: 'amqplib', // pika waits for an answer with the name that it asked for
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel()
      const [broken, whole] = [stage.name('a\r\nb'), stage.name('ab')]
      expect(await channel.do('queue.declare', { queue: broken })).toMatchObject({ queue: whole })
      await channel.do('exchange.declare', { exchange: broken, type: 'fanout' })
      expect(await channel.do('exchange.declare', { exchange: whole, passive: true })).toEqual({
        method: 'exchange.declare-ok',
      })
      const text = `NOT_FOUND - no queue '${stage.name('cd')}' ${stage.inVhost}`
      await link.refused('queue.declare', { queue: stage.name('c\nd'), passive: true }, 404, text)
    },
  },
  {
    title: 'a queue bound without name and key is bound by its name',
    only: 'pika',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('queue.bind', { queue: '', exchange: 'amq.direct', routing_key: '' })
      await channel.do('basic.publish', {
        exchange: 'amq.direct',
        routing_key: queue,
        mandatory: true,
        body: 'by name',
      })
      await channel.confirmed()
      expect((await channel.drained(queue)).map(({ body }) => body)).toEqual(['by name'])
    },
  },
  {
    title: 'a channel that declared no queue remembers none',
    play: async (stage) => {
      const link = await stage.connect()
      const text = 'NOT_FOUND - no previously declared queue'
      await link.refused('basic.get', { queue: '' }, 404, text)
      await link.refused('queue.purge', { queue: '' }, 404, text)
      await link.refused('queue.bind', { queue: '', exchange: 'amq.topic', routing_key: 'k' }, 404, text)
      await link.refused('basic.consume', { queue: '', consumer_tag: 'c' }, 404, text)
      await link.refused('queue.delete', { queue: '' }, 404, text)
    },
  },
  {
    title: 'an exclusive queue is closed to other connections, and goes with its own',
    play: async (stage) => {
      const [owner, other] = [await stage.connect(), await stage.connect()]
      const queue = stage.name('q')
      const channel = await owner.channel()
      await channel.do('queue.declare', { queue, exclusive: true, durable: true })
      expect(await (await owner.channel()).counts(queue)).toEqual([0, 0])
      const text = `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}' ${stage.inVhost}. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.`
      await other.refused('queue.declare', { queue, passive: true }, 405, text)
      await other.refused('queue.declare', { queue, exclusive: true, durable: true }, 405, text)
      await other.refused('queue.bind', { queue, exchange: 'amq.topic', routing_key: 'k' }, 405, text)
      await other.refused('queue.delete', { queue }, 405, text)
      await other.refused('queue.purge', { queue }, 405, text)
      await other.refused('basic.get', { queue }, 405, text)
      await other.refused('basic.consume', { queue, consumer_tag: 'c' }, 405, text)
      const publisher = await other.channel({ confirm: true })
      await publisher.do('basic.publish', { routing_key: queue, body: 'anyone may publish', mandatory: true })
      await publisher.confirmed()
      expect((await channel.drained(queue)).map(({ body }) => body)).toEqual(['anyone may publish'])
      const same = { queue, exclusive: false, durable: true }
      await owner.refused('queue.declare', same, 405, text)
      await owner.drop()
      await publisher.untilGone(queue)
    },
  },
  {
    title: 'an auto-delete queue goes with its last consumer, and not before it had one',
    play: async (stage) => {
      const link = await stage.connect()
      const [channel, other] = [await link.channel(), await link.channel()]
      const queue = stage.name('q')
      await channel.do('queue.declare', { queue, auto_delete: true })
      await channel.do('basic.consume', { queue, consumer_tag: 'one' })
      await other.do('basic.consume', { queue, consumer_tag: 'two' })
      await channel.do('basic.cancel', { consumer_tag: 'one' })
      expect(await channel.counts(queue)).toEqual([0, 1])
      await other.do('channel.close', {})
      const missing = `NOT_FOUND - no queue '${queue}' ${stage.inVhost}`
      await channel.refused('queue.declare', { queue, passive: true }, 404, missing)
    },
  },
  {
    title: 'a queue is deleted with its messages, unless it is to be unused or empty',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.send(queue, '1')
      await channel.send(queue, '2')
      await channel.confirmed()
      const notEmpty = `PRECONDITION_FAILED - queue '${queue}' ${stage.inVhost} not empty`
      await link.refused('queue.delete', { queue, if_empty: true }, 406, notEmpty)
      await channel.do('basic.qos', { prefetch_count: 1 })
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await channel.bodies(1)
      const inUse = `PRECONDITION_FAILED - queue '${queue}' ${stage.inVhost} in use`
      await link.refused('queue.delete', { queue, if_unused: true }, 406, inUse)
      expect(await channel.do('queue.delete', { queue })).toEqual({ method: 'queue.delete-ok', message_count: 1 })
      expect(await channel.next('basic.cancel')).toMatchObject({ consumer_tag: 'c' })
      await link.refused('queue.purge', { queue }, 404, `NOT_FOUND - no queue '${queue}' ${stage.inVhost}`)
      await channel.declare(queue)
      expect(await channel.do('queue.delete', { queue, if_unused: true, if_empty: true })).toMatchObject({
        message_count: 0,
      })
    },
  },
  {
    title: 'purging takes out what is ready, and not what a consumer has',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      for (const body of ['1', '2', '3']) await channel.send(queue, body)
      await channel.confirmed()
      expect(await channel.do('basic.get', { queue })).toMatchObject({ body: '1', message_count: 2 })
      expect(await channel.do('queue.purge', { queue })).toEqual({ method: 'queue.purge-ok', message_count: 2 })
      expect(await channel.do('queue.purge', { queue })).toEqual({ method: 'queue.purge-ok', message_count: 0 })
      await channel.do('basic.nack', { delivery_tag: 1, requeue: true })
      await channel.until(queue, 1)
      expect((await channel.drained(queue)).map(({ body }) => body)).toEqual(['1'])
    },
  },
  {
    title: 'a queue with x-expires stays as long as it is asked for messages, or declared again',
    play: async (stage) => {
      const channel = await stage.channel()
      const declared = { queue: stage.name('declared'), arguments: { 'x-expires': 1500 } }
      const got = await channel.declare(stage.name('got'), declared.arguments)
      expect(await channel.do('queue.declare', declared)).toMatchObject({ message_count: 0 })
      const counted = await channel.declare(stage.name('counted'), declared.arguments)
      // time has to pass here
      for (let turn = 0; turn < 9; turn++) {
        await delay(200)
        expect(await channel.do('basic.get', { queue: got })).toEqual({ method: 'basic.get-empty' })
        expect(await channel.do('queue.declare', declared)).toMatchObject({ message_count: 0 })
        expect(await channel.counts(counted)).toEqual([0, 0])
      }
    },
  },
  {
    title: 'a queue with x-expires goes when nobody used it for that long',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel()
      const [idle, used] = [stage.name('idle'), stage.name('used')]
      await channel.do('queue.declare', { queue: idle, arguments: { 'x-expires': 300 } })
      await channel.do('queue.declare', { queue: used, arguments: { 'x-expires': 1500 } })
      await channel.do('basic.consume', { queue: used, consumer_tag: 'c' })
      const probe = await link.channel({ confirm: true })
      await probe.untilGone(idle)
      const late = await channel.declare(stage.name('late'), { 'x-expires': 1800 })
      await probe.untilGone(late)
      expect(await channel.counts(used)).toEqual([0, 1])
    },
  },
]
