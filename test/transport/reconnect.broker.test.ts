import { defineService, onEvent } from 'eventail'
import { expect } from 'vitest'
import { jsonOf, test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'
import { CapturedStderr, gate, outcomeOf, Records } from '../bus/watched.ts'

// what is said while the broker is away is said on stderr
const QUIET = { stderrLevel: 'EMERGENCY', format: 'json' } as const

const proxyTo = (url: string): Promise<Proxy> => Proxy.start(Number(new URL(url).port))
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

test('a cut in the middle of many publishes loses none, and keeps their order and their ids', async ({
  url,
  probe,
}) => {
  using stderr = new CapturedStderr()
  await using proxy = await proxyTo(url)
  const arrived = await probe.listen('events', 'Counted')
  await using worker = await defineService({
    name: 'counter',
    publishWindow: { messages: 100, bytes: 1_000_000 },
  }).start({ ...QUIET, urls: [proxy.through(url)] })
  const outcomes = upTo(2000).map((n) => outcomeOf(worker.publish('Counted', n)))
  await expect.poll(() => arrived.size, { interval: 1 }).toBeGreaterThan(300)
  proxy.cut()
  expect(arrived.size).toBeLessThan(2000)
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']))
  await expect.poll(() => arrived.received.at(-1)?.content.toString()).toBe('1999')
  const idOf = new Map<unknown, string>()
  for (const message of arrived.received) {
    const id = String(message.properties.messageId)
    expect(idOf.get(jsonOf(message)) ?? id).toBe(id)
    idOf.set(jsonOf(message), id)
  }
  expect([...idOf.keys()]).toEqual(upTo(2000))
  expect(arrived.size - idOf.size).toBeLessThanOrEqual(100)
  expect(stderr.lines('WARNING')).toHaveLength(1)
  expect(stderr.lines('NOTICE')).toEqual([expect.stringMatching(/connected to .* again after \d+\.\d s/)])
})

test('of a message that was cut in the middle of a frame no half appears, and it is sent again', async ({
  url,
  probe,
}) => {
  using _stderr = new CapturedStderr()
  await using proxy = await proxyTo(url)
  const arrived = await probe.listen('events', 'Large')
  await using worker = await defineService({ name: 'halved' }).start({ ...QUIET, urls: [proxy.through(url)] })
  proxy.cutAfter(250_000)
  const payload = 'x'.repeat(20_000)
  const outcomes = upTo(30).map((n) => outcomeOf(worker.publish('Large', `${n} ${payload}`)))
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']))
  await expect.poll(() => [...new Set(arrived.received.map(jsonOf))]).toEqual(upTo(30).map((n) => `${n} ${payload}`))
  expect(proxy.opened).toBe(4)
})

test('what is published while the broker is away is sent in order when it is back', async ({ url, probe }) => {
  using stderr = new CapturedStderr()
  await using proxy = await proxyTo(url)
  const arrived = await probe.listen('events', 'Kept')
  await using worker = await defineService({ name: 'keeper' }).start({ ...QUIET, urls: [proxy.through(url)] })
  proxy.refuse()
  await expect.poll(() => worker.state).toBe('connecting')
  const outcomes = upTo(500).map((n) => outcomeOf(worker.publish('Kept', n)))
  expect(worker.pendingPublishes).toBe(500)
  // a first attempt was refused: the service waits a second before the next
  await expect.poll(() => proxy.opened).toBeGreaterThan(2)
  proxy.pass()
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']))
  await expect.poll(() => arrived.received.map(jsonOf)).toEqual(upTo(500))
  expect(worker.pendingPublishes).toBe(0)
  // one line for the outage and one for the new reason, however many attempts
  expect(stderr.lines('WARNING').length).toBeLessThanOrEqual(2)
})

test('what a lost handler published is dropped, and the redelivered message publishes it again', async ({
  url,
  probe,
}) => {
  using _stderr = new CapturedStderr()
  await using proxy = await proxyTo(url)
  const arrived = await probe.listen('events', 'Second')
  const outcomes: string[] = []
  const calls: boolean[] = []
  const goOn = gate()
  const aborted = gate<unknown>()
  await using worker = await defineService({
    name: 'redone',
    handlers: [
      onEvent('First', async ({ publish, metadata, signal }) => {
        calls.push(metadata.redelivered)
        if (metadata.redelivered) return publish('Second', 'redelivered')
        signal.addEventListener('abort', () => aborted.open(signal.reason))
        await goOn.opened
        outcomes.push(await outcomeOf(publish('Second', 'lost')))
        return publish('Second', 'lost as well')
      }),
    ],
  }).start({ ...QUIET, urls: [proxy.through(url)] })
  await probe.event('First')
  await expect.poll(() => calls).toEqual([false])
  proxy.cut()
  expect(await aborted.opened).toMatchObject({ code: 'DELIVERY_LOST' })
  expect(jsonOf(await arrived.next())).toBe('redelivered')
  goOn.open()
  await expect.poll(() => outcomes).toEqual(['DELIVERY_LOST'])
  expect(await outcomeOf(worker.publish('Second', 'last'))).toBe('ok')
  expect(jsonOf(await arrived.next())).toBe('last')
  await expect.poll(() => probe.counts('redone.events')).toEqual({ messages: 0, consumers: 1 })
})

test('unconfirmed messages of a handler are rejected when its connection is lost', async ({ url, probe }) => {
  using _stderr = new CapturedStderr()
  await using proxy = await proxyTo(url)
  const outcomes: string[] = []
  await using worker = await defineService({
    name: 'unsure',
    handlers: [
      onEvent('Try', async ({ publish, metadata }) => {
        // nothing reaches the broker, and nothing comes from it
        if (!metadata.redelivered) proxy.freeze()
        outcomes.push(...(await Promise.all(upTo(3).map((n) => outcomeOf(publish('Tried', n))))))
      }),
    ],
  }).start({ ...QUIET, urls: [proxy.through(url)] })
  await probe.event('Try')
  await expect.poll(() => worker.pendingPublishes).toBe(3)
  const own = outcomeOf(worker.publish('Tried', 'own'))
  proxy.cut()
  proxy.pass()
  expect(await own).toBe('ok')
  await expect.poll(() => outcomes).toEqual([...upTo(3).map(() => 'DELIVERY_LOST'), 'ok', 'ok', 'ok'])
})

test('a handler that ends after a reconnect settles nothing: its message has gone to another delivery', async ({
  url,
  probe,
}) => {
  using _stderr = new CapturedStderr()
  await using proxy = await proxyTo(url)
  const gates = [gate(), gate()]
  let calls = 0
  const ended: number[] = []
  const records = new Records()
  await using worker = await defineService({
    name: 'stale',
    drainTimeoutMs: 50,
    handlers: [
      onEvent('Slow', async ({ ack }) => {
        const call = calls++
        await gates[call]?.opened
        await ack()
        ended.push(call)
      }),
    ],
  }).start({ ...QUIET, urls: [proxy.through(url)], onLog: records.onLog })
  await probe.event('Slow')
  await expect.poll(() => calls).toBe(1)
  proxy.cut()
  await expect.poll(() => calls).toBe(2)
  gates[0]?.open()
  await expect.poll(() => ended).toEqual([0])
  // a wrong acknowledgement would have closed the channel, and the service would have reconnected
  await worker.publish('Marker', 1)
  expect(proxy.opened).toBe(4)
  expect(records.of('WARNING')).toHaveLength(1)
  await worker.stop()
  // the second delivery was not acknowledged by the first handler
  expect(await probe.counts('stale.events')).toEqual({ messages: 1, consumers: 0 })
  gates[1]?.open()
})

test('connections that an operator closes are opened again, and the hook for readiness runs again', async ({
  url,
  probe,
  management,
}) => {
  using stderr = new CapturedStderr()
  const handled: unknown[] = []
  let readies = 0
  await using worker = await defineService({
    name: 'closed',
    handlers: [onEvent('Seen', ({ payload }) => void handled.push(payload))],
    hooks: { onReady: () => void (readies += 1) },
  }).start({ ...QUIET, urls: [url] })
  expect(readies).toBe(1)
  await management.closeConnections(`closed@${process.pid} (consume)`)
  await expect.poll(() => readies, { timeout: 5000 }).toBeGreaterThan(1)
  await expect.poll(() => worker.state).toBe('ready')
  await probe.event('Seen', 1)
  await expect.poll(() => handled).toEqual([1])
  expect(stderr.lines(' closed ')[0]).toMatch(/connection lost: .*CONNECTION_FORCED/)
})

test('a service whose queue was deleted consumes from it again within two seconds', async ({ url, probe }) => {
  using stderr = new CapturedStderr()
  const handled: unknown[] = []
  await using worker = await defineService({
    name: 'robbed',
    handlers: [onEvent('Robbed', ({ payload }) => void handled.push(payload))],
  }).start({ ...QUIET, urls: [url] })
  await probe.deleteQueue('robbed.events')
  const isBack = (): Promise<unknown> => probe.counts('robbed.events').catch(() => 'gone')
  await expect.poll(isBack, { timeout: 2000 }).toEqual({ messages: 0, consumers: 1 })
  expect(worker.state).toBe('ready')
  await probe.event('Robbed', 1)
  await expect.poll(() => handled).toEqual([1])
  expect(stderr.lines("queue 'robbed.events'")).toHaveLength(1)
})

test('a queue that was declared otherwise meanwhile is an EMERGENCY, and the service keeps trying', async ({
  url,
  probe,
}) => {
  using stderr = new CapturedStderr()
  await using proxy = await proxyTo(url)
  await using worker = await defineService({
    name: 'changed',
    handlers: [onEvent('Changed', () => {})],
  }).start({ ...QUIET, urls: [proxy.through(url)] })
  proxy.refuse()
  await expect.poll(() => worker.state).toBe('connecting')
  await probe.deleteQueue('changed.events')
  await probe.declareQueue('changed.events', { durable: true, messageTtl: 60_000 })
  proxy.pass()
  await expect.poll(() => stderr.lines('EMERGENCY'), { timeout: 10_000 }).toHaveLength(1)
  expect(stderr.lines('EMERGENCY')[0]).toContain('x-message-ttl')
  expect(worker.state).toBe('connecting')
  await probe.deleteQueue('changed.events')
  // it asks again after ten seconds at the earliest
  await expect.poll(() => worker.state, { timeout: 25_000 }).toBe('ready')
}, 40_000)
