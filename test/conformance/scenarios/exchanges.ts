/** Declaring, deleting and protecting exchanges. */
import { expect } from 'vitest'
import type { Scenario } from '../stage.ts'

export const exchanges: readonly Scenario[] = [
  {
    title: 'an exchange declared again in the same way is the same, in another way it is refused',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel()
      const exchange = stage.name('x')
      const fields = { exchange, type: 'topic', durable: true }
      expect(await channel.do('exchange.declare', fields)).toEqual({ method: 'exchange.declare-ok' })
      expect(await channel.do('exchange.declare', fields)).toEqual({ method: 'exchange.declare-ok' })
      const refusal = (argument: string, received: string, current: string): string =>
        `PRECONDITION_FAILED - inequivalent arg '${argument}' for exchange '${exchange}' ${stage.inVhost}: received '${received}' but current is '${current}'`
      await link.refused('exchange.declare', { ...fields, type: 'fanout' }, 406, refusal('type', 'fanout', 'topic'))
      await link.refused('exchange.declare', { ...fields, durable: false }, 406, refusal('durable', 'false', 'true'))
      await link.refused(
        'exchange.declare',
        { ...fields, auto_delete: true },
        406,
        refusal('auto_delete', 'true', 'false'),
      )
      await link.refused('exchange.declare', { ...fields, internal: true }, 406, refusal('internal', 'true', 'false'))
      const nameless = { exchange: stage.name('y'), type: 'topic', arguments: { 'alternate-exchange': true } }
      const noName = `PRECONDITION_FAILED - invalid type 'bool' for arg 'alternate-exchange' in exchange '${stage.name('y')}' ${stage.inVhost}`
      await link.refused('exchange.declare', nameless, 406, noName)
      const other = { ...fields, arguments: { 'alternate-exchange': 'other' } }
      const none = `PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange '${exchange}' ${stage.inVhost}: received the value 'other' of type 'longstr' but current is none`
      await link.refused('exchange.declare', other, 406, none)
      expect(await channel.do('exchange.declare', { ...fields, arguments: { unknown: 1 } })).toEqual({
        method: 'exchange.declare-ok',
      })
    },
  },
  {
    title: 'an exchange that does not exist is not found, and nothing is wrong with deleting it',
    play: async (stage) => {
      const link = await stage.connect()
      const exchange = stage.name('none')
      const text = `NOT_FOUND - no exchange '${exchange}' ${stage.inVhost}`
      await link.refused('exchange.declare', { exchange, passive: true }, 404, text)
      await link.refused('basic.publish', { exchange, routing_key: 'k' }, 404, text)
      const channel = await link.channel()
      expect(await channel.do('exchange.delete', { exchange })).toEqual({ method: 'exchange.delete-ok' })
      expect(await channel.do('exchange.delete', { exchange, if_unused: true })).toEqual({
        method: 'exchange.delete-ok',
      })
      const queue = await channel.declare(stage.name('q'))
      expect(await channel.do('queue.unbind', { queue, exchange, routing_key: 'k' })).toEqual({
        method: 'queue.unbind-ok',
      })
      await link.refused('queue.bind', { queue, exchange, routing_key: 'k' }, 404, text)
      await link.refused('exchange.bind', { source: exchange, destination: 'amq.topic' }, 404, text)
      await link.refused('exchange.bind', { source: 'amq.topic', destination: exchange }, 404, text)
    },
  },
  {
    title: 'the default exchange cannot be declared, deleted, bound or unbound',
    play: async (stage) => {
      const link = await stage.connect()
      const queue = await (await link.channel()).declare(stage.name('q'))
      const text = 'ACCESS_REFUSED - operation not permitted on the default exchange'
      await link.refused('exchange.declare', { exchange: '', type: 'direct', durable: true }, 403, text)
      await link.refused('exchange.delete', { exchange: '' }, 403, text)
      await link.refused('queue.bind', { queue, exchange: '', routing_key: 'k' }, 403, text)
      await link.refused('queue.unbind', { queue, exchange: '', routing_key: queue }, 403, text)
      await link.refused('exchange.bind', { source: '', destination: 'amq.topic' }, 403, text)
      await link.refused('exchange.bind', { source: 'amq.topic', destination: '' }, 403, text)
      await link.refused('exchange.declare', { exchange: '', passive: true }, 403, text)
    },
  },
  {
    title: 'exchanges named amq.* exist or are reserved, and are not deleted',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel()
      for (const [exchange, type] of [
        ['amq.topic', 'topic'],
        ['amq.direct', 'direct'],
        ['amq.fanout', 'fanout'],
        ['amq.headers', 'headers'],
        ['amq.match', 'headers'],
      ] as const) {
        const answer = await channel.do('exchange.declare', { exchange, type, durable: true })
        expect(answer).toEqual({ method: 'exchange.declare-ok' })
      }
      const reserved = `ACCESS_REFUSED - exchange name 'amq.own' contains reserved prefix 'amq.*'`
      await link.refused('exchange.declare', { exchange: 'amq.own', type: 'topic' }, 403, reserved)
      const system = `ACCESS_REFUSED - deletion of system exchange 'amq.topic' ${stage.inVhost} not allowed`
      await link.refused('exchange.delete', { exchange: 'amq.topic' }, 403, system)
      const missing = `NOT_FOUND - no exchange 'amq.own' ${stage.inVhost}`
      await link.refused('exchange.declare', { exchange: 'amq.own', passive: true }, 404, missing)
    },
  },
  {
    title: 'an exchange of an unknown type is refused, with the connection',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel()
      const text = `COMMAND_INVALID - unknown exchange type 'nonsense'`
      await channel.refused('exchange.declare', { exchange: stage.name('x'), type: 'nonsense' }, 503, text)
      await link.closed(503, text)
    },
  },
  {
    title: 'an exchange deleted while it is bound loses its bindings, unless it is to be unused',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel()
      const exchange = stage.name('x')
      const queue = await channel.declare(stage.name('q'))
      await channel.do('exchange.declare', { exchange, type: 'fanout' })
      await channel.do('queue.bind', { queue, exchange })
      const inUse = `PRECONDITION_FAILED - exchange '${exchange}' ${stage.inVhost} in use`
      await link.refused('exchange.delete', { exchange, if_unused: true }, 406, inUse)
      expect(await channel.do('exchange.delete', { exchange })).toEqual({ method: 'exchange.delete-ok' })
      await channel.do('exchange.declare', { exchange, type: 'fanout' })
      await channel.do('basic.publish', { exchange, body: 'lost' })
      expect(await channel.counts(queue)).toEqual([0, 0])
      expect(await channel.do('exchange.delete', { exchange, if_unused: true })).toEqual({
        method: 'exchange.delete-ok',
      })
    },
  },
  {
    title: 'an auto-delete exchange goes with its last binding',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel()
      const exchange = stage.name('x')
      const [one, two] = [await channel.declare(stage.name('q1')), await channel.declare(stage.name('q2'))]
      await channel.do('exchange.declare', { exchange, type: 'direct', auto_delete: true })
      await channel.do('queue.bind', { queue: one, exchange, routing_key: 'k' })
      await channel.do('queue.bind', { queue: two, exchange, routing_key: 'k' })
      await channel.do('queue.unbind', { queue: one, exchange, routing_key: 'k' })
      expect(await channel.do('exchange.declare', { exchange, passive: true })).toEqual({
        method: 'exchange.declare-ok',
      })
      await channel.do('queue.delete', { queue: two })
      const text = `NOT_FOUND - no exchange '${exchange}' ${stage.inVhost}`
      await channel.refused('exchange.declare', { exchange, passive: true }, 404, text)
    },
  },
  {
    title: 'an auto-delete exchange goes when the exchange it feeds goes, not when what feeds it does',
    play: async (stage) => {
      const channel = await stage.channel()
      const [source, destination] = [stage.name('source'), stage.name('destination')]
      await channel.do('exchange.declare', { exchange: source, type: 'fanout', auto_delete: true })
      await channel.do('exchange.declare', { exchange: destination, type: 'fanout', auto_delete: true })
      await channel.do('exchange.bind', { source, destination })
      await channel.do('exchange.unbind', { source, destination })
      const stays = await channel.do('exchange.declare', { exchange: destination, passive: true })
      expect(stays).toEqual({ method: 'exchange.declare-ok' })
      const text = `NOT_FOUND - no exchange '${source}' ${stage.inVhost}`
      await channel.refused('exchange.declare', { exchange: source, passive: true }, 404, text)
    },
  },
  {
    title: 'an internal exchange takes messages from exchanges alone',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel()
      const [exchange, source] = [stage.name('internal'), stage.name('source')]
      const queue = await channel.declare(stage.name('q'))
      await channel.do('exchange.declare', { exchange, type: 'fanout', internal: true })
      await channel.do('exchange.declare', { exchange: source, type: 'fanout' })
      await channel.do('queue.bind', { queue, exchange })
      await channel.do('exchange.bind', { source, destination: exchange })
      const text = `ACCESS_REFUSED - cannot publish to internal exchange '${exchange}' ${stage.inVhost}`
      await link.refused('basic.publish', { exchange, body: 'no' }, 403, text)
      await channel.do('basic.publish', { exchange: source, body: 'yes' })
      expect((await channel.drained(queue)).map(({ body }) => body)).toEqual(['yes'])
    },
  },
  {
    title: 'the alternate exchange gets what an exchange cannot route, and so on from there',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [first, second, third] = [stage.name('first'), stage.name('second'), stage.name('third')]
      const queue = await channel.declare(stage.name('q'))
      await channel.do('exchange.declare', { exchange: third, type: 'fanout' })
      await channel.do('exchange.declare', {
        exchange: second,
        type: 'direct',
        arguments: { 'alternate-exchange': third },
      })
      await channel.do('exchange.declare', {
        exchange: first,
        type: 'topic',
        arguments: { 'alternate-exchange': second },
      })
      await channel.do('basic.publish', { exchange: first, routing_key: 'k', body: 'nowhere', mandatory: true })
      expect(await channel.next('basic.return')).toMatchObject({ reply_code: 312, exchange: first, routing_key: 'k' })
      await channel.do('queue.bind', { queue, exchange: third })
      await channel.do('basic.publish', { exchange: first, routing_key: 'k', body: 'caught', mandatory: true })
      await channel.confirmed()
      const [message] = await channel.drained(queue)
      expect(message).toMatchObject({ exchange: first, routing_key: 'k', body: 'caught' })
    },
  },
  {
    title: 'an alternate exchange that does not exist, or leads back, loses the message',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [first, second] = [stage.name('first'), stage.name('second')]
      await channel.do('exchange.declare', {
        exchange: first,
        type: 'topic',
        arguments: { 'alternate-exchange': second },
      })
      await channel.do('basic.publish', { exchange: first, routing_key: 'k', mandatory: true, body: 'none' })
      expect(await channel.next('basic.return')).toMatchObject({ reply_code: 312, body: 'none' })
      await channel.do('exchange.declare', {
        exchange: second,
        type: 'topic',
        arguments: { 'alternate-exchange': first },
      })
      await channel.do('basic.publish', { exchange: first, routing_key: 'k', mandatory: true, body: 'circle' })
      expect(await channel.next('basic.return')).toMatchObject({ reply_code: 312, body: 'circle' })
      expect(await channel.confirmed()).toEqual([])
    },
  },
]
