/** What is found wrong with a bus: each finding alone, on a bus that is well otherwise. */
import { expect, test } from 'vitest'
import { deadLetterQueuesOf, diagnose, type Finding } from '../../src/management/diagnosis.ts'
import { type QueueFacts, receiversOf, type Snapshot } from '../../src/management/snapshot.ts'
import { EXCHANGES } from '../../src/topology/names.ts'
import { parseBrokerUrl } from '../../src/transport/broker-url.ts'

const local = parseBrokerUrl('amqp://localhost')

function queue(name: string, facts: Partial<QueueFacts> = {}): QueueFacts {
  return {
    name,
    durable: true,
    exclusive: false,
    type: 'classic',
    arguments: {},
    policy: { 'dead-letter-exchange': 'am-dlx' },
    ready: 0,
    unacknowledged: 0,
    consumers: 1,
    ...facts,
  }
}

function binding(source: string, destination: string, key: string): Snapshot['bindings'][number] {
  return { source, destination, destinationType: 'queue', key }
}

/** A bus with two services, on which all is well. */
const WELL: Snapshot = {
  queues: [
    queue('shop.events'),
    queue('shop.commands'),
    queue('clerk.events'),
    queue('dead-letters', { policy: {}, consumers: 0 }),
    queue('amq.gen-1', { exclusive: true, durable: false, policy: {} }),
  ],
  bindings: [
    binding('events', 'shop.events', 'billing.#'),
    binding('events', 'clerk.events', 'Asked'),
    binding('commands', 'shop.commands', 'shop.Buy'),
    binding('commands', 'shop.commands', 'shop.#'),
    binding('am-dlx', 'dead-letters', '#'),
    binding('logs', 'amq.gen-1', '#'),
    binding('', 'shop.events', 'shop.events'),
  ],
  exchanges: [
    ...Object.values(EXCHANGES).map((name) => ({ name, type: 'topic', durable: true })),
    { name: 'am-dlx', type: 'topic', durable: true },
  ],
  consumers: [],
  connections: [],
  nodes: [{ name: 'rabbit@a', running: true, memoryAlarm: false, diskAlarm: false, partitions: [] }],
}

/** The queues, with one changed. */
function changed(name: string, facts: Partial<QueueFacts>): Snapshot {
  return { ...WELL, queues: WELL.queues.map((each) => (each.name === name ? { ...each, ...facts } : each)) }
}

function found(snapshot: Snapshot): readonly Finding[] {
  return diagnose({ snapshot, broker: local })
}

test('nothing is found where all is well', () => {
  expect(found(WELL)).toEqual([])
})

const node = WELL.nodes?.[0]
const rebound = (...bindings: Snapshot['bindings']): Snapshot => ({
  ...WELL,
  bindings: [...WELL.bindings, ...bindings],
})
const without = (predicate: (each: Snapshot['bindings'][number]) => boolean): Snapshot => ({
  ...WELL,
  bindings: WELL.bindings.filter((each) => !predicate(each)),
})

test.for<[string, Snapshot, string, string, string]>([
  [
    'no dead-letter exchange',
    changed('clerk.events', { policy: {} }),
    'problem',
    'clerk.events',
    'has no dead-letter exchange',
  ],
  [
    'nobody consumes',
    changed('clerk.events', { consumers: 0, ready: 7 }),
    'problem',
    'clerk.events',
    'nobody consumes it, and 7 messages wait',
  ],
  [
    'arguments',
    changed('clerk.events', { arguments: { 'x-queue-mode': 'lazy' } }),
    'problem',
    'clerk.events',
    'was declared with arguments (x-queue-mode)',
  ],
  ['not durable', changed('clerk.events', { durable: false }), 'problem', 'clerk.events', 'is not durable'],
  [
    'a delivery limit without a retry',
    changed('clerk.events', { type: 'quorum', policy: { 'dead-letter-exchange': 'am-dlx', 'delivery-limit': 0 } }),
    'problem',
    'clerk.events',
    'its delivery limit is 0',
  ],
  [
    'a short consumer timeout',
    changed('clerk.events', { policy: { 'dead-letter-exchange': 'am-dlx', 'consumer-timeout': 5000 } }),
    'problem',
    'clerk.events',
    'its consumer timeout is 5000 ms',
  ],
  [
    'a queue that expires',
    changed('clerk.events', { policy: { 'dead-letter-exchange': 'am-dlx', expires: 1000 } }),
    'problem',
    'clerk.events',
    'is deleted, with its messages',
  ],
  [
    'messages that expire',
    changed('clerk.events', { policy: { 'dead-letter-exchange': 'am-dlx', 'message-ttl': 1000 } }),
    'note',
    'clerk.events',
    'die unhandled',
  ],
  [
    'a dead-letter exchange that is missing',
    { ...WELL, exchanges: WELL.exchanges.filter(({ name }) => name !== 'am-dlx'), bindings: WELL.bindings },
    'problem',
    'am-dlx',
    'does not exist',
  ],
  [
    'a dead-letter exchange that leads nowhere',
    without(({ source }) => source === 'am-dlx'),
    'problem',
    'am-dlx',
    'no queue is bound to the dead-letter exchange',
  ],
  [
    'a dead-letter exchange that takes only some',
    {
      ...WELL,
      bindings: WELL.bindings.map((each) => (each.source === 'am-dlx' ? { ...each, key: 'billing.#' } : each)),
    },
    'problem',
    'am-dlx',
    'takes no dead letters with the routing key Asked, shop.#, shop.Buy',
  ],
  [
    'an exchange of another type',
    { ...WELL, exchanges: WELL.exchanges.map((each) => (each.name === 'events' ? { ...each, type: 'fanout' } : each)) },
    'problem',
    'events',
    'is durable, of type fanout',
  ],
  [
    'an exchange that is not there yet',
    { ...WELL, exchanges: WELL.exchanges.filter(({ name }) => name !== 'logs') },
    'note',
    'logs',
    'does not exist yet',
  ],
  [
    'a command of another service',
    rebound(binding('commands', 'shop.commands', 'clerk.Answer')),
    'problem',
    'shop.commands',
    "takes 'clerk.Answer', which is for service 'clerk'",
  ],
  [
    'a queue on the wrong exchange',
    rebound(binding('configurations', 'clerk.events', 'Conf')),
    'problem',
    'clerk.events',
    "is bound to exchange 'configurations'",
  ],
  [
    'a queue that nobody reads',
    {
      ...rebound(binding('events', 'left-over', '#')),
      queues: [...WELL.queues, queue('left-over', { consumers: 0, ready: 9, policy: {} })],
    },
    'problem',
    'left-over',
    'is bound to events, and nobody reads it: 9 messages',
  ],
  ['dead letters that wait', changed('dead-letters', { ready: 3 }), 'note', 'dead-letters', 'waiting: 3 dead letters'],
  [
    'a memory alarm',
    { ...WELL, nodes: node === undefined ? [] : [{ ...node, memoryAlarm: true }] },
    'problem',
    'rabbit@a',
    'is short of memory',
  ],
  [
    'a disk alarm',
    { ...WELL, nodes: node === undefined ? [] : [{ ...node, diskAlarm: true }] },
    'problem',
    'rabbit@a',
    'is short of disk',
  ],
  [
    'a partition',
    { ...WELL, nodes: node === undefined ? [] : [{ ...node, partitions: ['rabbit@b'] }] },
    'problem',
    'rabbit@a',
    'is cut off from rabbit@b',
  ],
  [
    'a node that is down',
    { ...WELL, nodes: node === undefined ? [] : [{ ...node, running: false }] },
    'problem',
    'rabbit@a',
    'the node is down',
  ],
] as const)('%s is found, with a mend, and nothing else', ([, snapshot, severity, subject, text]) => {
  const findings = found(snapshot)
  expect(findings).toEqual([
    { severity, subject, problem: expect.stringContaining(text), mend: expect.stringMatching(/\w+/) },
  ])
})

test('a clear-text URL to another host is a problem, and none to this machine or with TLS', () => {
  const of = (url: string): readonly Finding[] => diagnose({ snapshot: WELL, broker: parseBrokerUrl(url) })
  expect(of('amqp://u:secret@broker.example')).toEqual([
    expect.objectContaining({ severity: 'problem', mend: 'use amqps://' }),
  ])
  expect(JSON.stringify(of('amqp://u:secret@broker.example'))).not.toContain('secret')
  for (const url of ['amqps://broker.example', 'amqp://127.0.0.1', 'amqp://[::1]', 'amqp://localhost'])
    expect(of(url)).toEqual([])
  expect(of('amqp://127.evil.example')).toHaveLength(1)
})

test('dead letters that come in are a problem', () => {
  const growth = { letters: new Map([['dead-letters', 4]]), seconds: 2 }
  expect(deadLetterQueuesOf(WELL)).toEqual(['dead-letters'])
  expect(diagnose({ snapshot: changed('dead-letters', { ready: 9 }), broker: local, growth })).toEqual([
    expect.objectContaining({ severity: 'problem', problem: 'dead letters are coming in: 4 in 2 s' }),
  ])
})

test('receivers are those of the type of the exchange, behind bindings from exchange to exchange, without circles', () => {
  const routes = {
    exchanges: [
      { name: 'events', type: 'topic', durable: true },
      { name: 'copy', type: 'fanout', durable: true },
      { name: 'exact', type: 'direct', durable: true },
    ],
    bindings: [
      binding('events', 'a', 'x.*'),
      { source: 'events', destination: 'copy', destinationType: 'exchange', key: '#' },
      { source: 'copy', destination: 'events', destinationType: 'exchange', key: '' },
      binding('copy', 'b', 'whatever'),
      binding('exact', 'c', 'x.#'),
      binding('', 'd', 'd'),
    ],
  }
  expect(receiversOf(routes, 'events', 'x.y')).toEqual(['a', 'b'])
  expect(receiversOf(routes, 'events', 'z')).toEqual(['b'])
  expect(receiversOf(routes, 'exact', 'x.y')).toEqual([])
  expect(receiversOf(routes, 'exact', 'x.#')).toEqual(['c'])
  expect(receiversOf(routes, '', 'd')).toEqual(['d'])
})
