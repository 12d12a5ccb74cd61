/** Where messages go that are rejected, too old or too many, and what they carry then. */
import { expect } from 'vitest'
import type { Channel } from '../channel.ts'
import type { Scenario, Stage } from '../stage.ts'
import type { Frame, Properties, Table } from '../vocabulary.ts'
import { fill } from './consuming.ts'

/** A queue whose dead letters go to another, by way of the default exchange. */
async function pair(
  stage: Stage,
  channel: Channel,
  more: Record<string, number | string> = {},
): Promise<[string, string]> {
  const grave = await channel.declare(stage.name('grave'))
  const table = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': grave, ...more }
  return [await channel.declare(stage.name('q'), table), grave]
}

function headersOf(message: Frame | undefined): Table {
  return message?.properties?.headers ?? {}
}

/** Queue, reason and count of each entry. */
function deaths(message: Frame | undefined): string[] {
  const all = (headersOf(message)['x-death'] ?? []) as unknown as { queue: string; reason: string; count: number }[]
  return all.map(({ queue, reason, count }) => `${queue.replace(/^s\d+\./, '')} ${reason} ${count}`)
}

async function onlyOne(channel: Channel, queue: string): Promise<Frame> {
  await channel.until(queue, 1)
  return channel.do('basic.get', { queue, no_ack: true })
}

export const deadLettering: readonly Scenario[] = [
  {
    title: 'a rejected message goes to the dead-letter exchange and tells how it died',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const exchange = stage.name('dlx')
      await channel.do('exchange.declare', { exchange, type: 'topic' })
      const grave = await channel.declare(stage.name('grave'))
      await channel.do('queue.bind', { queue: grave, exchange, routing_key: '#' })
      const queue = await channel.declare(stage.name('q'), { 'x-dead-letter-exchange': exchange })
      await channel.do('queue.bind', { queue, exchange: 'amq.topic', routing_key: stage.name('#') })
      const headers = { own: 'kept', number: 5 }
      const properties = { headers, message_id: 'm', delivery_mode: 2, correlation_id: 'k', reply_to: 'r' }
      const routing_key = stage.name('some.key')
      await channel.do('basic.publish', { exchange: 'amq.topic', routing_key, body: 'dead', properties })
      await channel.confirmed()
      const before = Math.floor(Date.now() / 1000)
      await channel.do('basic.get', { queue })
      await channel.do('basic.nack', { delivery_tag: 1, requeue: false })
      const letter = await onlyOne(channel, grave)
      expect(letter).toMatchObject({
        exchange,
        routing_key,
        body: 'dead',
        redelivered: false,
        properties: { message_id: 'm', delivery_mode: 2 },
      })
      const time = { '!timestamp': expect.any(Number) as number }
      expect(headersOf(letter)).toEqual({
        ...headers,
        'x-death': [
          { count: 1, reason: 'rejected', queue, time, exchange: 'amq.topic', 'routing-keys': [routing_key] },
        ],
        'x-first-death-exchange': 'amq.topic',
        'x-first-death-queue': queue,
        'x-first-death-reason': 'rejected',
      })
      const [death] = headersOf(letter)['x-death'] as unknown as [{ time: { '!timestamp': number } }]
      expect(Math.abs(death.time['!timestamp'] - before)).toBeLessThanOrEqual(20)
    },
  },
  {
    title: 'a dead-letter routing key takes the place of the key, and CC of a dead letter is kept or not',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [queue, grave] = await pair(stage, channel)
      await channel.send(queue, '1', { headers: { CC: [stage.name('other')] } })
      await channel.confirmed()
      await channel.do('basic.get', { queue })
      await channel.do('basic.reject', { delivery_tag: 1, requeue: false })
      const letter = await onlyOne(channel, grave)
      expect(letter).toMatchObject({ exchange: '', routing_key: grave, body: '1' })
      expect(deaths(letter)).toEqual(['q rejected 1'])
    },
  },
  {
    title: 'without a dead-letter routing key the keys of CC are used again',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const exchange = stage.name('dlx')
      await channel.do('exchange.declare', { exchange, type: 'direct' })
      const [first, second] = [await channel.declare(stage.name('first')), await channel.declare(stage.name('second'))]
      const queue = await channel.declare(stage.name('q'), { 'x-dead-letter-exchange': exchange })
      await channel.do('queue.bind', { queue: first, exchange, routing_key: queue })
      await channel.do('queue.bind', { queue: second, exchange, routing_key: stage.name('copy') })
      await channel.send(queue, '1', { headers: { CC: [stage.name('copy')] } })
      await channel.confirmed()
      await channel.do('basic.get', { queue })
      await channel.do('basic.reject', { delivery_tag: 1, requeue: false })
      expect(deaths(await onlyOne(channel, first))).toEqual(['q rejected 1'])
      expect(deaths(await onlyOne(channel, second))).toEqual(['q rejected 1'])
    },
  },
  {
    title: 'a message that dies again the same way counts once more, and its last death stands first',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [queue, grave] = await pair(stage, channel)
      let headers: Table = {}
      const dies = async (properties: Properties = {}): Promise<string[]> => {
        await channel.send(queue, 'cat', { headers, ...properties })
        await channel.confirmed()
        if (properties.expiration === undefined) {
          const tag = await onlyOneToSettle(channel, queue)
          await channel.do('basic.nack', { delivery_tag: tag, requeue: false })
        }
        const letter = await onlyOne(channel, grave)
        headers = headersOf(letter)
        return deaths(letter)
      }
      expect(await dies()).toEqual(['q rejected 1'])
      expect(await dies()).toEqual(['q rejected 2'])
      expect(await dies({ expiration: '0' })).toEqual(['q expired 1', 'q rejected 2'])
      expect(await dies()).toEqual(['q rejected 3', 'q expired 1'])
      expect(headers).toMatchObject({ 'x-first-death-queue': queue, 'x-first-death-reason': 'rejected' })
    },
  },
  {
    title:
      'a message goes round through dead-letter exchanges when it was rejected, and is dropped when it only expired',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [one, two] = [stage.name('one'), stage.name('two')]
      const to = (key: string): Record<string, string> => ({
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': key,
      })
      await channel.declare(one, { ...to(two), 'x-message-ttl': 30 })
      await channel.declare(two, { ...to(one), 'x-message-ttl': 30 })
      await channel.send(one, 'round and round')
      await channel.confirmed()
      await channel.until(one, 0)
      await channel.until(two, 0)
      expect(await channel.counts(one)).toEqual([0, 0])
      const retry = await channel.declare(stage.name('retry'), { ...to(stage.name('work')), 'x-message-ttl': 20 })
      const work = await channel.declare(stage.name('work'), to(retry))
      await channel.send(work, 'retried')
      await channel.confirmed()
      for (let turn = 0; turn < 3; turn++) {
        const tag = await onlyOneToSettle(channel, work)
        await channel.do('basic.nack', { delivery_tag: tag, requeue: false })
      }
      const letter = await onlyOne(channel, work)
      expect(deaths(letter)).toEqual(['retry expired 3', 'work rejected 3'])
      expect(headersOf(letter)).toMatchObject({
        'x-first-death-queue': work,
        'x-first-death-reason': 'rejected',
        'x-first-death-exchange': '',
      })
    },
  },
  {
    title: 'an expired message loses its expiration, which its death tells',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [queue, grave] = await pair(stage, channel)
      await channel.send(queue, '1', { expiration: '40', message_id: 'm' })
      await channel.confirmed()
      const letter = await onlyOne(channel, grave)
      expect(letter.properties).not.toHaveProperty('expiration')
      expect(letter.properties).toMatchObject({ message_id: 'm' })
      expect(headersOf(letter)).toMatchObject({
        'x-death': [{ reason: 'expired', queue, exchange: '', 'original-expiration': '40', 'routing-keys': [queue] }],
      })
    },
  },
  {
    title: 'a rejected message loses its expiration too, one of another queue keeps none',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [queue, grave] = await pair(stage, channel, { 'x-message-ttl': 60_000 })
      await channel.send(queue, '1', { expiration: '50000' })
      await channel.send(queue, '2')
      await channel.confirmed()
      await channel.do('basic.get', { queue })
      await channel.do('basic.get', { queue })
      await channel.do('basic.nack', { delivery_tag: 2, multiple: true, requeue: false })
      await channel.until(grave, 2)
      const letters = await channel.drained(grave)
      expect(letters.map(({ body }) => body)).toEqual(['1', '2'])
      expect(
        letters.map(
          ({ properties }) => (properties as object) && Object.keys(properties as object).includes('expiration'),
        ),
      ).toEqual([false, false])
      expect(headersOf(letters[0])).toMatchObject({ 'x-death': [{ 'original-expiration': '50000' }] })
    },
  },
  {
    title: 'without a dead-letter exchange, or with one that does not exist, the message is gone',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'), { 'x-dead-letter-exchange': stage.name('none') })
      const plain = await channel.declare(stage.name('plain'))
      await fill(channel, queue, 1)
      await fill(channel, plain, 1)
      await channel.do('basic.get', { queue })
      await channel.do('basic.get', { queue: plain })
      await channel.do('basic.nack', { delivery_tag: 2, multiple: true, requeue: false })
      expect([await channel.counts(queue), await channel.counts(plain)]).toEqual([
        [0, 0],
        [0, 0],
      ])
    },
  },
  {
    title: 'what is purged or deleted with its queue is no dead letter',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [queue, grave] = await pair(stage, channel)
      await fill(channel, queue, 2)
      await channel.do('queue.purge', { queue })
      await fill(channel, queue, 2)
      await channel.do('queue.delete', { queue })
      expect(await channel.counts(grave)).toEqual([0, 0])
    },
  },
  {
    title: 'headers that only look like deaths are kept or mended',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [queue, grave] = await pair(stage, channel)
      await channel.send(queue, '1', { headers: { 'x-death': 'a text', 'x-first-death-queue': 'elsewhere' } })
      await channel.confirmed()
      await channel.do('basic.get', { queue })
      await channel.do('basic.nack', { delivery_tag: 1, requeue: false })
      await channel.until(grave, 1)
      expect((await channel.drained(grave)).map(({ body }) => body)).toEqual(['1'])
    },
  },
  {
    title: 'dead letters keep their order',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [queue, grave] = await pair(stage, channel)
      await fill(channel, queue, 30)
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await channel.bodies(30)
      await channel.do('basic.nack', { delivery_tag: 0, multiple: true, requeue: false })
      await channel.until(grave, 30)
      const numbers = (await channel.drained(grave)).map(({ body }) => Number(body))
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
    },
  },
]

/** Fetches the one message of a queue. @returns its tag */
async function onlyOneToSettle(channel: Channel, queue: string): Promise<number> {
  await channel.until(queue, 1)
  return Number((await channel.do('basic.get', { queue })).delivery_tag)
}
