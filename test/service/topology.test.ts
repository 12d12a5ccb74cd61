/** What a worker leaves on the broker: the exchanges and queues of the bus, declared as every peer declares them. */
import { defineService, onCommand, onConfiguration, onEvent, onResult, TopologyError } from 'eventail'
import { expect } from 'vitest'
import { jsonOf, type Probe, test } from '../bus/bus.ts'
import type { Management } from '../bus/management.ts'
import { CapturedStderr } from '../bus/watched.ts'

const EXCHANGES = ['events', 'commands', 'configurations', 'logs']
const nothing = (): void => {}

interface Declared {
  readonly name: string
  readonly durable: boolean
  readonly auto_delete: boolean
  readonly arguments: object
  readonly type?: string
  readonly exclusive?: boolean
}
interface Bound {
  readonly source: string
  readonly destination: string
  readonly routing_key: string
}

async function listed<T>(management: Management, url: string, what: string): Promise<T[]> {
  return (await management.api('GET', `${what}/${new URL(url).pathname.slice(1)}`)) as T[]
}

async function queuesBoundTo(management: Management, url: string, exchange: string, key: string): Promise<string[]> {
  const bindings = await listed<Bound>(management, url, 'bindings')
  return bindings
    .filter(({ source, routing_key }) => source === exchange && routing_key === key)
    .map(({ destination }) => destination)
}

/** What the Python toolkit does when it starts: every call fails where the arguments differ. */
async function declareAsPython(probe: Probe, service: string): Promise<void> {
  const channel = await probe.channel()
  for (const exchange of EXCHANGES) await channel.assertExchange(exchange, 'topic', { durable: true })
  for (const kind of ['events', 'commands']) {
    const { queue } = await channel.assertQueue(`${service}.${kind}`, { durable: true })
    await channel.bindQueue(queue, kind, `${service}.Same`)
  }
  await channel.close()
}

test('the four exchanges are durable topic exchanges without arguments, whatever the service does', async ({
  url,
  management,
}) => {
  await using _worker = await defineService({ name: 'publisher' }).start({ urls: [url], stderrLevel: 'ERROR' })
  const exchanges = await listed<Declared>(management, url, 'exchanges')
  for (const exchange of EXCHANGES) {
    expect(exchanges.find(({ name }) => name === exchange)).toMatchObject({
      type: 'topic',
      durable: true,
      auto_delete: false,
      arguments: {},
    })
  }
  const queues = await listed<Declared>(management, url, 'queues')
  expect(queues.filter(({ name }) => name.startsWith('publisher'))).toEqual([])
})

test('the shared queues are durable, have no arguments, and are bound to the keys of the handlers and no others', async ({
  url,
  management,
}) => {
  const full = defineService({
    name: 'full',
    handlers: [
      onEvent('Happened', nothing),
      onEvent('billing.#', nothing),
      onCommand('Do', nothing),
      onCommand('full.Undo', nothing),
      onResult('CheckResult', nothing),
    ],
  })
  await using _worker = await full.start({ urls: [url], stderrLevel: 'ERROR' })
  const own = (await listed<Declared>(management, url, 'queues')).filter(({ name }) => name.startsWith('full.'))
  expect(own.map(({ name }) => name).toSorted()).toEqual(['full.commands', 'full.events'])
  for (const queue of own) {
    expect(queue).toMatchObject({ durable: true, auto_delete: false, exclusive: false, arguments: {} })
  }
  const bound = (await listed<Bound>(management, url, 'bindings'))
    .filter(({ source, destination }) => source !== '' && destination.startsWith('full.'))
    .map(({ source, destination, routing_key }) => `${source} → ${destination}: ${routing_key}`)
  expect(bound.toSorted()).toEqual([
    'commands → full.commands: full.CheckResult',
    'commands → full.commands: full.Do',
    'commands → full.commands: full.Undo',
    'events → full.events: Happened',
    'events → full.events: billing.#',
  ])
})

test('a queue is declared only when there is something to receive on it', async ({ url, management }) => {
  await using _one = await defineService({ name: 'listens', handlers: [onEvent('Any', nothing)] }).start({
    urls: [url],
  })
  await using _two = await defineService({ name: 'obeys', handlers: [onCommand('Do', nothing)] }).start({
    urls: [url],
    stderrLevel: 'ERROR',
  })
  const names = (await listed<Declared>(management, url, 'queues')).map(({ name }) => name)
  expect(names).toContain('listens.events')
  expect(names).not.toContain('listens.commands')
  expect(names).toContain('obeys.commands')
  expect(names).not.toContain('obeys.events')
  expect(names.filter((name) => name.startsWith('amq.gen'))).toEqual([])
})

test('a Python worker may declare the same queues, before and afterwards', async ({ url, probe }) => {
  const handlers = [onEvent('Same', nothing), onCommand('Same', nothing)]
  await declareAsPython(probe, 'second')
  await using _second = await defineService({ name: 'second', handlers }).start({ urls: [url], stderrLevel: 'ERROR' })
  await using _first = await defineService({ name: 'first', handlers }).start({ urls: [url], stderrLevel: 'ERROR' })
  await declareAsPython(probe, 'first')
  expect(await probe.counts('first.events')).toEqual({ messages: 0, consumers: 1 })
  expect(await probe.counts('second.commands')).toEqual({ messages: 0, consumers: 1 })
})

test('a queue that exists with other arguments is a failure that names it', async ({ url, probe }) => {
  using stderr = new CapturedStderr()
  await probe.declareQueue('differs.events', { durable: true, messageTtl: 1000 })
  const differs = defineService({ name: 'differs', handlers: [onEvent('Any', nothing)] })
  const failure: unknown = await differs
    .start({ urls: [url], stderrLevel: 'EMERGENCY' })
    .catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(TopologyError)
  expect(failure).toHaveProperty('message', expect.stringContaining("queue 'differs.events'"))
  expect(stderr.lines('EMERGENCY')).toEqual([expect.stringContaining("queue 'differs.events'")])
})

test('each worker has a configuration queue of its own, named by the server, exclusive and not durable', async ({
  url,
  management,
}) => {
  const waits = defineService({ name: 'waits', handlers: [onConfiguration('Conf.#', () => true)] })
  const first = await waits.start({ urls: [url], stderrLevel: 'ERROR' })
  const second = await waits.start({ urls: [url], stderrLevel: 'ERROR' })
  const names = await queuesBoundTo(management, url, 'configurations', 'Conf.#')
  expect(new Set(names).size).toBe(2)
  for (const queue of (await listed<Declared>(management, url, 'queues')).filter(({ name }) => names.includes(name))) {
    expect(queue.name).toMatch(/^amq\.gen/)
    expect(queue).toMatchObject({ durable: false, exclusive: true, arguments: {} })
  }
  await first.stop()
  await second.stop()
  await expect.poll(() => queuesBoundTo(management, url, 'configurations', 'Conf.#')).toEqual([])
})

test('exclusive queues get every message beside the shared ones, and leave nothing behind', async ({
  url,
  probe,
  management,
}) => {
  const seen: unknown[] = []
  const watcher = defineService({
    name: 'watcher',
    exclusiveQueues: true,
    handlers: [
      onEvent('#', ({ payload }) => seen.push(payload)),
      onCommand('#', ({ payload }) => seen.push(payload)),
      onResult('#', ({ payload }) => seen.push(payload)),
    ],
  })
  const worker = await watcher.start({ urls: [url], stderrLevel: 'ERROR' })
  const beside = await probe.listen('events', 'Watched')
  await probe.event('Watched', 1)
  expect(jsonOf(await beside.next())).toBe(1)
  await probe.command('anybody.Do', 2)
  await probe.publish({
    exchange: 'commands',
    routingKey: 'anybody.Done',
    body: 3,
    headers: { conversation_id: 'c1', status: 'success' },
  })
  await expect.poll(() => new Set(seen)).toEqual(new Set([1, 2, 3]))
  const queues = (await listed<Declared>(management, url, 'queues')).map(({ name }) => name)
  expect(queues.filter((name) => name.startsWith('watcher'))).toEqual([])
  expect(await queuesBoundTo(management, url, 'events', '#')).toHaveLength(1)
  await worker.stop()
  await expect
    .poll(async () => [
      ...(await queuesBoundTo(management, url, 'events', '#')),
      ...(await queuesBoundTo(management, url, 'commands', '#')),
    ])
    .toEqual([])
})
