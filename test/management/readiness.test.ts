/** Whether a service is ready, by what the broker knows. */
import { expect, test } from 'vitest'
import { wantingOf } from '../../src/management/readiness.ts'
import type { QueueFacts, Snapshot } from '../../src/management/snapshot.ts'

function queue(name: string, exclusive = false): QueueFacts {
  return {
    name,
    durable: !exclusive,
    exclusive,
    type: 'classic',
    arguments: {},
    policy: {},
    ready: 0,
    unacknowledged: 0,
    // the broker's statistics lag: they are not asked
    consumers: 0,
  }
}

const node = { name: 'rabbit@a', running: true, memoryAlarm: false, diskAlarm: false, partitions: [] }
const connection = (name: string, givenName: string): Snapshot['connections'][number] => ({
  name,
  givenName,
  host: '10.0.0.1',
})

/** Two workers of `shop`, of which one consumes; one of `teller`, which only publishes; and `gone`. */
const BUS: Snapshot = {
  queues: [queue('shop.events'), queue('shop.commands'), queue('amq.gen-1', true), queue('gone.events')],
  bindings: [],
  exchanges: [],
  consumers: [
    { queue: 'shop.events', connection: 'c1' },
    { queue: 'shop.commands', connection: 'c1' },
    { queue: 'amq.gen-1', connection: 'c1' },
  ],
  connections: [
    connection('c1', 'shop@1 (consume)'),
    connection('c2', 'shop@2 (consume)'),
    connection('c3', 'teller@3 (publish)'),
  ],
  nodes: [node],
}

test('a service is ready when it has a worker, and somebody consumes each of its queues', () => {
  expect(wantingOf('shop', BUS)).toEqual([])
  expect(wantingOf('teller', BUS)).toEqual([])
  expect(wantingOf('gone', BUS)).toEqual(['no worker of it is connected', "nobody consumes its queue 'gone.events'"])
  const consumers = BUS.consumers.filter(({ queue: name }) => name !== 'shop.commands')
  expect(wantingOf('shop', { ...BUS, consumers })).toEqual(["nobody consumes its queue 'shop.commands'"])
})

test('a service that the broker does not know is told from one that is not ready', () => {
  expect(wantingOf('nobody', BUS)).toBeUndefined()
})

test('no service is ready while an alarm blocks publishers, where that may be seen', () => {
  const alarmed = (facts: Partial<typeof node>): Snapshot => ({ ...BUS, nodes: [node, { ...node, ...facts }] })
  expect(wantingOf('shop', alarmed({ name: 'rabbit@b', memoryAlarm: true }))).toEqual([
    "node 'rabbit@b' has a memory alarm, and the broker blocks publishers",
  ])
  expect(wantingOf('shop', alarmed({ diskAlarm: true }))).toEqual([
    "node 'rabbit@a' has a disk alarm, and the broker blocks publishers",
  ])
  expect(wantingOf('shop', { ...BUS, nodes: undefined })).toEqual([])
})
