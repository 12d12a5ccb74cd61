/** Which queues get what is published. */
import { expect } from 'vitest'
import type { Channel } from '../channel.ts'
import type { Scenario, Stage } from '../stage.ts'
import type { Table } from '../vocabulary.ts'

/** Patterns, and keys with the patterns that are to match them. */
const PATTERNS = [
  '#',
  '*',
  'a.*',
  'a.#',
  '#.a',
  '*.a',
  'a.*.b',
  'a.#.b',
  '#.#',
  '*.#',
  '#.a.#',
  'a',
  '',
  'a.',
  '.',
  '*.*',
  '#.*.#.*',
]
const KEYS: Record<string, readonly string[]> = {
  '': ['#', '#.#', ''],
  a: ['#', '*', 'a.#', '#.a', '#.#', '*.#', '#.a.#', 'a'],
  b: ['#', '*', '#.#', '*.#'],
  'a.b': ['#', 'a.*', 'a.#', 'a.#.b', '#.#', '*.#', '#.a.#', '*.*', '#.*.#.*'],
  'a.a': ['#', 'a.*', 'a.#', '#.a', '*.a', '#.#', '*.#', '#.a.#', '*.*', '#.*.#.*'],
  'a.x.b': ['#', 'a.#', 'a.*.b', 'a.#.b', '#.#', '*.#', '#.a.#', '#.*.#.*'],
  'a.x.y.b': ['#', 'a.#', 'a.#.b', '#.#', '*.#', '#.a.#', '#.*.#.*'],
  'a.': ['#', 'a.*', 'a.#', '#.#', '*.#', '#.a.#', 'a.', '*.*', '#.*.#.*'],
  '.a': ['#', '#.a', '*.a', '#.#', '*.#', '#.a.#', '*.*', '#.*.#.*'],
  '.': ['#', '#.#', '*.#', '.', '*.*', '#.*.#.*'],
  'a..b': ['#', 'a.#', 'a.*.b', 'a.#.b', '#.#', '*.#', '#.a.#', '#.*.#.*'],
  '*': ['#', '*', '#.#', '*.#'],
  'x.a.y': ['#', '#.#', '*.#', '#.a.#', '#.*.#.*'],
}

/** A queue for each pattern. @returns the patterns of the queues that got the message */
async function takers(channel: Channel, stage: Stage, patterns: readonly string[]): Promise<string[]> {
  const took: string[] = []
  for (const [index, pattern] of patterns.entries()) {
    const got = await channel.drained(stage.name(`q${index}`))
    took.push(...got.map(() => pattern))
  }
  return took
}

export const routing: readonly Scenario[] = [
  {
    title: 'a topic exchange matches * with one word, and # with any number, empty words included',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const exchange = stage.name('x')
      await channel.do('exchange.declare', { exchange, type: 'topic' })
      for (const [index, pattern] of PATTERNS.entries()) {
        await channel.declare(stage.name(`q${index}`))
        await channel.do('queue.bind', { queue: stage.name(`q${index}`), exchange, routing_key: pattern })
        await channel.do('basic.consume', {
          queue: stage.name(`q${index}`),
          consumer_tag: `of ${pattern}`,
          no_ack: true,
        })
      }
      for (const [key, expected] of Object.entries(KEYS)) {
        await channel.do('basic.publish', { exchange, routing_key: key, body: key })
        await channel.confirmed()
        const takers = await channel.takers(expected.length)
        expect([key, takers]).toEqual([key, expected.map((pattern) => `of ${pattern}`).toSorted()])
      }
      await channel.hearsNothing(stage.name('q0'))
    },
  },
  {
    title: 'a queue bound several times gets a message once',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [topic, fanout] = [stage.name('topic'), stage.name('fanout')]
      const queue = await channel.declare(stage.name('q'))
      await channel.do('exchange.declare', { exchange: topic, type: 'topic' })
      await channel.do('exchange.declare', { exchange: fanout, type: 'fanout' })
      for (const key of ['#', 'a.*', 'a.b', '#', '*.b'])
        await channel.do('queue.bind', { queue, exchange: topic, routing_key: key })
      for (const key of ['1', '2']) await channel.do('queue.bind', { queue, exchange: fanout, routing_key: key })
      await channel.do('exchange.bind', { source: topic, destination: fanout, routing_key: 'a.#' })
      await channel.do('basic.publish', { exchange: topic, routing_key: 'a.b', body: 'once' })
      await channel.do('basic.publish', { exchange: fanout, routing_key: 'any', body: 'also once' })
      await channel.confirmed()
      expect((await channel.drained(queue)).map(({ body }) => body)).toEqual(['once', 'also once'])
    },
  },
  {
    title: 'a direct exchange compares the whole key, a fanout exchange nothing',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [direct, fanout] = [stage.name('direct'), stage.name('fanout')]
      const names = ['a', 'a', '*', 'b.c', '']
      await channel.do('exchange.declare', { exchange: direct, type: 'direct' })
      await channel.do('exchange.declare', { exchange: fanout, type: 'fanout' })
      for (const [index, key] of names.entries()) {
        const queue = await channel.declare(stage.name(`q${index}`))
        await channel.do('queue.bind', { queue, exchange: direct, routing_key: key })
        await channel.do('queue.bind', { queue, exchange: fanout, routing_key: 'ignored' })
      }
      for (const [key, expected] of [
        ['a', ['a', 'a']],
        ['*', ['*']],
        ['b', []],
        ['b.c', ['b.c']],
        ['', ['']],
      ] as const) {
        await channel.do('basic.publish', { exchange: direct, routing_key: key })
        await channel.confirmed()
        expect(await takers(channel, stage, names)).toEqual(expected)
      }
      await channel.do('basic.publish', { exchange: fanout, routing_key: 'whatever' })
      await channel.confirmed()
      expect(await takers(channel, stage, names)).toEqual(names)
    },
  },
  {
    title: 'a headers exchange compares headers, all or any of them',
    notImplemented: 'headers',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const exchange = stage.name('x')
      await channel.do('exchange.declare', { exchange, type: 'headers' })
      const bindings: Record<string, Table> = {
        all: { 'x-match': 'all', a: '1', b: 2 },
        any: { 'x-match': 'any', a: '1', b: 2 },
        plain: { a: '1' },
        empty: {},
        none: { 'x-match': 'any' },
        present: { a: null },
        secret: { 'x-match': 'all', 'x-own': 1, a: '1' },
      }
      const names = Object.keys(bindings)
      for (const [index, name] of names.entries()) {
        const queue = await channel.declare(stage.name(`q${index}`))
        await channel.do('queue.bind', { queue, exchange, arguments: bindings[name] ?? {} })
      }
      const expected: readonly [Table, readonly string[]][] = [
        [{ a: '1', b: 2 }, ['all', 'any', 'plain', 'empty', 'present', 'secret']],
        [{ a: '1' }, ['any', 'plain', 'empty', 'present', 'secret']],
        [{ b: 2 }, ['any', 'empty']],
        [{ a: '2', b: 3 }, ['empty', 'present']],
        [{}, ['empty']],
      ]
      for (const [headers, takes] of expected) {
        await channel.do('basic.publish', { exchange, properties: { headers } })
        await channel.confirmed()
        expect([headers, await takers(channel, stage, names)]).toEqual([headers, takes])
      }
      await channel.do('basic.publish', { exchange })
      await channel.confirmed()
      expect(await takers(channel, stage, names)).toEqual(['empty'])
    },
  },
  {
    title: 'a headers exchange to which nothing is bound takes nothing, and no dead letters',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      await channel.do('basic.publish', { exchange: 'amq.headers', routing_key: 'k', mandatory: true, body: 'one' })
      await channel.confirmed()
      const queue = await channel.declare(stage.name('q'), { 'x-dead-letter-exchange': 'amq.match' })
      await channel.send(queue, 'two', { expiration: '20' })
      await channel.confirmed()
      await channel.until(queue, 0)
      expect(await channel.counts(queue)).toEqual([0, 0])
    },
  },
  {
    title: 'a headers binding with another x-match than all or any is refused',
    notImplemented: 'headers',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel()
      const queue = await channel.declare(stage.name('q'))
      const bind = (value: Table[string]) =>
        ({ queue, exchange: 'amq.headers', arguments: { 'x-match': value } }) as const
      const text = (value: string): string =>
        `PRECONDITION_FAILED - Invalid x-match field value ${value}; expected all, any, all-with-x, or any-with-x`
      await link.refused('queue.bind', bind('some'), 406, text('<<"some">>'))
    },
  },
  {
    title: 'the default exchange routes by the name of the queue',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.send(queue, 'one')
      await channel.send(`${queue}.other`, 'lost')
      await channel.confirmed()
      const [message, ...others] = await channel.drained(queue)
      expect(message).toMatchObject({
        exchange: '',
        routing_key: queue,
        redelivered: false,
        message_count: 0,
        body: 'one',
      })
      expect(others).toEqual([])
    },
  },
  {
    title: 'bound exchanges hand on what matches, in circles as well, each queue once',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const [one, two, three] = [stage.name('one'), stage.name('two'), stage.name('three')]
      for (const exchange of [one, two, three]) await channel.do('exchange.declare', { exchange, type: 'topic' })
      await channel.do('exchange.bind', { source: one, destination: two, routing_key: 'a.#' })
      await channel.do('exchange.bind', { source: two, destination: three, routing_key: '#.z' })
      await channel.do('exchange.bind', { source: three, destination: one, routing_key: '#' })
      const names = ['in one', 'in two', 'in three']
      for (const [index, exchange] of [one, two, three].entries()) {
        const queue = await channel.declare(stage.name(`q${index}`))
        await channel.do('queue.bind', { queue, exchange, routing_key: '#' })
      }
      const reach = async (exchange: string, key: string): Promise<string[]> => {
        await channel.do('basic.publish', { exchange, routing_key: key })
        await channel.confirmed()
        return takers(channel, stage, names)
      }
      expect(await reach(one, 'b')).toEqual(['in one'])
      expect(await reach(one, 'a.b')).toEqual(['in one', 'in two'])
      expect(await reach(one, 'a.z')).toEqual(names)
      expect(await reach(three, 'a.z')).toEqual(names)
      expect(await channel.do('exchange.unbind', { source: one, destination: two, routing_key: 'a.#' })).toEqual({
        method: 'exchange.unbind-ok',
      })
      expect(await reach(one, 'a.z')).toEqual(['in one'])
    },
  },
  {
    title: 'a binding is undone by the same key and arguments, and undoing none is no mistake',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const exchange = stage.name('x')
      const queue = await channel.declare(stage.name('q'))
      await channel.do('exchange.declare', { exchange, type: 'topic' })
      const binding = { queue, exchange, routing_key: 'a', arguments: { note: 'one' } }
      await channel.do('queue.bind', binding)
      await channel.do('queue.bind', binding)
      const count = async (): Promise<number> => {
        await channel.do('basic.publish', { exchange, routing_key: 'a' })
        await channel.confirmed()
        return (await channel.drained(queue)).length
      }
      for (const other of [{ routing_key: 'b' }, { arguments: {} }, { arguments: { note: 'two' } }]) {
        expect(await channel.do('queue.unbind', { ...binding, ...other })).toEqual({ method: 'queue.unbind-ok' })
      }
      expect(await count()).toBe(1)
      await channel.do('queue.unbind', binding)
      expect(await count()).toBe(0)
    },
  },
  {
    title: 'headers CC and BCC name further keys, and BCC is not delivered',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const names = ['a', 'b', 'c']
      for (const index of names.keys()) await channel.declare(stage.name(`q${index}`))
      const headers = { CC: [stage.name('q1')], BCC: [stage.name('q2'), stage.name('q0')], own: 1 }
      await channel.send(stage.name('q0'), 'all', { headers })
      await channel.confirmed()
      for (const index of names.keys()) {
        const [message, ...more] = await channel.drained(stage.name(`q${index}`))
        expect(message).toMatchObject({
          routing_key: stage.name('q0'),
          properties: { headers: { CC: headers.CC, own: 1 } },
        })
        expect(more).toEqual([])
      }
    },
  },
  {
    title: 'a header CC that is no list of texts is refused',
    play: async (stage) => {
      const link = await stage.connect()
      const text = 'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}'
      const publish = { routing_key: 'k', properties: { headers: { CC: 'a' } } }
      await link.refused('basic.publish', publish, 406, text)
    },
  },
]
