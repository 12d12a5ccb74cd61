import { setTimeout as delay } from 'node:timers/promises'
import { defineService, onEvent } from 'eventail'
import { expect } from 'vitest'
import { jsonOf, test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'
import { CapturedStderr, outcomeOf, Records } from '../bus/watched.ts'

const QUIET = { stderrLevel: 'NONE', format: 'json' } as const

const proxyTo = (url: string): Promise<Proxy> => Proxy.start(Number(new URL(url).port))
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

test('messages go out in the order of the calls, each once', async ({ url, probe }) => {
  const arrived = await probe.listen('events', 'Ordered')
  await using worker = await defineService({ name: 'ordered' }).start({ ...QUIET, urls: [url] })
  const outcomes = upTo(3000).map((n) => outcomeOf(worker.publish('Ordered', n)))
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']))
  await expect.poll(() => arrived.size).toBe(3000)
  expect(arrived.received.map(jsonOf)).toEqual(upTo(3000))
})

test('no more messages are unconfirmed on their way than the window allows', async ({ url, probe }) => {
  await using proxy = await proxyTo(url)
  const arrived = await probe.listen('events', 'Windowed')
  const logs = await probe.logs('windowed.INFO')
  await using worker = await defineService({
    name: 'windowed',
    publishWindow: { messages: 5, bytes: 1_000_000 },
  }).start({ ...QUIET, urls: [proxy.through(url)] })
  await logs.next()
  // no confirm comes through
  proxy.freeze('down')
  const outcomes = upTo(50).map((n) => outcomeOf(worker.publish('Windowed', n)))
  // a record goes out on the same connection, behind everything that was sent
  worker.log.info('behind')
  await logs.next()
  await expect.poll(() => arrived.size).toBe(5)
  expect(worker.pendingPublishes).toBe(50)
  proxy.pass()
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']))
  await expect.poll(() => arrived.received.map(jsonOf)).toEqual(upTo(50))
})

test('the window counts bytes as well, and a message larger than all of it goes alone', async ({ url, probe }) => {
  await using proxy = await proxyTo(url)
  const arrived = await probe.listen('events', 'Heavy')
  const logs = await probe.logs('heavy.INFO')
  await using worker = await defineService({
    name: 'heavy',
    publishWindow: { messages: 100, bytes: 1000 },
  }).start({ ...QUIET, urls: [proxy.through(url)] })
  await logs.next()
  proxy.freeze('down')
  const outcomes = [5000, 10, 10].map((size) => outcomeOf(worker.publish('Heavy', 'x'.repeat(size))))
  worker.log.info('behind')
  await logs.next()
  await expect.poll(() => arrived.size).toBe(1)
  proxy.pass()
  expect(await Promise.all(outcomes)).toEqual(['ok', 'ok', 'ok'])
})

test('what exceeds the buffer is rejected at once, and what is in it is sent', async ({ url, probe }) => {
  await using proxy = await proxyTo(url)
  const arrived = await probe.listen('events', 'Buffered')
  const records = new Records()
  await using worker = await defineService({
    name: 'buffered',
    publishWindow: { messages: 1, bytes: 1_000_000 },
    publishBuffer: { messages: 3, bytes: 1000 },
  }).start({ ...QUIET, urls: [proxy.through(url)], onLog: records.onLog })
  proxy.freeze('down')
  const outcomes = upTo(6).map((n) => outcomeOf(worker.publish('Buffered', n)))
  expect(await Promise.all(outcomes.slice(4))).toEqual(['PUBLISH_BUFFER_FULL', 'PUBLISH_BUFFER_FULL'])
  expect(records.of('ERROR')).toEqual([expect.stringContaining('publishes are rejected: 3 messages')])
  proxy.pass()
  expect(await Promise.all(outcomes.slice(0, 4))).toEqual(['ok', 'ok', 'ok', 'ok'])
  proxy.freeze('down')
  const heavy = ['x', 'y'.repeat(600), 'z'.repeat(600), 'w'].map((text) => outcomeOf(worker.publish('Buffered', text)))
  expect(await heavy[2]).toBe('PUBLISH_BUFFER_FULL')
  proxy.pass()
  expect(await Promise.all(heavy)).toEqual(['ok', 'ok', 'PUBLISH_BUFFER_FULL', 'ok'])
  await expect.poll(() => arrived.received.map(jsonOf)).toEqual([0, 1, 2, 3, 'x', 'y'.repeat(600), 'w'])
})

test('a full buffer of others is no reason for a handler to fail', async ({ url, probe }) => {
  await using proxy = await proxyTo(url)
  const arrived = await probe.listen('events', 'Handled')
  const records = new Records()
  await using worker = await defineService({
    name: 'crowded',
    publishWindow: { messages: 1 },
    publishBuffer: { messages: 1 },
    handlers: [onEvent('Handle', ({ publish, payload }) => publish('Handled', payload))],
  }).start({ ...QUIET, urls: [proxy.through(url)], onLog: records.onLog })
  proxy.freeze('up')
  const outcomes = upTo(3).map((n) => outcomeOf(worker.publish('Other', n)))
  expect(await outcomes[2]).toBe('PUBLISH_BUFFER_FULL')
  for (const n of upTo(3)) await probe.event('Handle', n)
  await expect.poll(() => worker.pendingPublishes).toBe(5)
  proxy.pass()
  await expect.poll(() => arrived.received.map(jsonOf)).toEqual(upTo(3))
  expect(records.of('ALERT', 'EMERGENCY')).toEqual([])
})

test('what handlers publish does not fill the buffer of others', async ({ url, probe }) => {
  await using proxy = await proxyTo(url)
  await using worker = await defineService({
    name: 'wordy',
    publishWindow: { messages: 1 },
    publishBuffer: { messages: 2 },
    handlers: [onEvent('Wordy', ({ publish }) => Promise.all(upTo(50).map((n) => publish('Word', n))))],
  }).start({ ...QUIET, urls: [proxy.through(url)] })
  proxy.freeze('up')
  await probe.event('Wordy')
  await expect.poll(() => worker.pendingPublishes).toBe(50)
  const outcomes = upTo(2).map((n) => outcomeOf(worker.publish('Other', n)))
  proxy.pass()
  expect(await Promise.all(outcomes)).toEqual(['ok', 'ok'])
})

test('a channel that gives no confirms is replaced, on the same connection, and its messages are sent again', async ({
  url,
  probe,
}) => {
  await using proxy = await proxyTo(url)
  const arrived = await probe.listen('events', 'Unconfirmed')
  const records = new Records()
  await using worker = await defineService({ name: 'silent', confirmTimeoutMs: 400 }).start({
    ...QUIET,
    urls: [proxy.through(url)],
    onLog: records.onLog,
  })
  records.once(/no confirm from the broker/, () => proxy.pass())
  proxy.freeze('down')
  const outcomes = upTo(20).map((n) => outcomeOf(worker.publish('Unconfirmed', n)))
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']))
  expect(records.of('WARNING')).toEqual([
    expect.stringMatching(
      /no confirm from the broker for \d+ ms: its channel is replaced, and 20 messages are sent again/,
    ),
  ])
  expect(proxy.opened).toBe(2)
  // each came twice, as the same message
  await expect.poll(() => arrived.received.map(jsonOf)).toEqual([...upTo(20), ...upTo(20)])
  expect(new Set(arrived.received.map(({ properties }) => String(properties.messageId))).size).toBe(20)
  expect(await outcomeOf(worker.publish('Unconfirmed', 'next'))).toBe('ok')
  expect(proxy.opened).toBe(2)
})

test('a channel that gives no confirms and cannot be replaced ends the connection, and nothing is lost', async ({
  url,
  probe,
}) => {
  using _stderr = new CapturedStderr()
  await using proxy = await proxyTo(url)
  const arrived = await probe.listen('events', 'Mute')
  const records = new Records()
  await using worker = await defineService({
    name: 'mute',
    confirmTimeoutMs: 300,
    connectTimeoutMs: 500,
  }).start({ ...QUIET, urls: [proxy.through(url), url], onLog: records.onLog })
  proxy.freeze('down')
  expect(await outcomeOf(worker.publish('Mute', 1))).toBe('ok')
  expect(jsonOf(await arrived.next())).toBe(1)
  expect(records.of('WARNING').at(-1)).toMatch(/^connection lost: amqp:.*: no channel to publish on could be opened: /)
})

test('what the broker refused for now counts for the buffer as well', async ({ url, probe, management }) => {
  await probe.declareQueue('choked')
  await probe.bind('choked', 'events', 'Choking')
  await management.setPolicy('choke', '^choked$', { 'max-length': 0, overflow: 'reject-publish' })
  const records = new Records()
  await using worker = await defineService({
    name: 'choking',
    publishBuffer: { messages: 10, bytes: 1_000_000 },
    publishWindow: { messages: 5, bytes: 1_000_000 },
    drainTimeoutMs: 100,
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  // the policy takes effect a moment after it was set
  await expect.poll(() => (void worker.publish('Choking', 0), records.of('ERROR').length)).toBeGreaterThan(0)
  const outcomes: string[] = []
  await expect
    .poll(() => {
      void outcomeOf(worker.publish('Choking', 1)).then((outcome) => outcomes.push(outcome))
      return outcomes
    })
    .toContain('PUBLISH_BUFFER_FULL')
  expect(worker.pendingPublishes).toBeLessThanOrEqual(15)
  await management.deletePolicy('choke')
})

test('a message that takes longer to leave than a confirm may take is not given up', async ({ url, probe }) => {
  await using proxy = await proxyTo(url)
  const arrived = await probe.listen('events', 'Slow')
  const records = new Records()
  await using worker = await defineService({ name: 'slow', confirmTimeoutMs: 1_000 }).start({
    stderrLevel: 'NONE',
    urls: [proxy.through(url)],
    onLog: records.onLog,
  })
  proxy.freeze('up')
  // more than the buffers of the system take
  const outcome = outcomeOf(worker.publish('Slow', new Uint8Array(15_000_000)))
  await delay(3000)
  proxy.pass()
  expect(await outcome).toBe('ok')
  expect(records.of('WARNING')).toEqual([])
  await expect.poll(() => arrived.size).toBe(1)
})

test('a broker that reads no more, and still shows signs of life, is left', async ({ url, probe }) => {
  await using proxy = await proxyTo(url)
  const records = new Records()
  const arrived = await probe.listen('events', 'Stuck')
  await using worker = await defineService({ name: 'stuck' }).start({
    ...QUIET,
    urls: [proxy.through(url)],
    confirmTimeoutMs: 300,
    heartbeatMs: 0,
    onLog: records.onLog,
  })
  proxy.freeze('up')
  // more than the line and the proxy take in
  const outcome = outcomeOf(worker.publish('Stuck', 'x'.repeat(14_000_000)))
  await expect
    .poll(() => records.of('WARNING').join('\n'), { timeout: 15_000 })
    .toMatch(/has not read what was sent for \d+ ms/)
  proxy.pass()
  expect(await outcome).toBe('ok')
  await expect.poll(() => arrived.size).toBe(1)
}, 30_000)
