import { defineService, onEvent, TopologyError } from 'eventail'
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import { test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'
import { CapturedStderr, outcomeOf, Records } from '../bus/watched.ts'

// what is said while the broker is away is said on stderr
const QUIET = { stderrLevel: 'EMERGENCY', format: 'json' } as const
const CANARY = 'c4n@ry:/%'

const proxyTo = (url: string): Promise<Proxy> => Proxy.start(Number(new URL(url).port))

/** The URL with parts of it replaced. */
function changed(url: string, parts: { username?: string; password?: string; pathname?: string }): string {
  const other = new URL(url)
  if (parts.username !== undefined) other.username = encodeURIComponent(parts.username)
  if (parts.password !== undefined) other.password = encodeURIComponent(parts.password)
  if (parts.pathname !== undefined) other.pathname = parts.pathname
  return other.href
}

test('a broker that gives no answer is passed over for the next URL', async ({ url }) => {
  using stderr = new CapturedStderr()
  await using blackHole = await proxyTo(url)
  blackHole.freeze()
  const began = performance.now()
  await using worker = await defineService({ name: 'wanderer', connectTimeoutMs: 300 }).start({
    ...QUIET,
    urls: [blackHole.through(url), url],
  })
  expect(worker.state).toBe('ready')
  // the time-out, and a second of back-off
  expect(performance.now() - began).toBeLessThan(3000)
  expect(blackHole.opened).toBe(1)
  expect(stderr.lines('no answer within 300 ms')).toHaveLength(1)
})

test('after a loss the next URL is tried at once', async ({ url }) => {
  using _stderr = new CapturedStderr()
  await using first = await proxyTo(url)
  await using second = await proxyTo(url)
  await using worker = await defineService({ name: 'mover' }).start({
    ...QUIET,
    urls: [first.through(url), second.through(url)],
  })
  expect([first.opened, second.opened]).toEqual([2, 0])
  first.refuse()
  expect(await outcomeOf(worker.publish('Moved', 1))).toBe('ok')
  expect([first.opened, second.opened]).toEqual([2, 2])
})

test('a refused password is an ERROR that says what to check, and no output has the password', async ({ url }) => {
  using stderr = new CapturedStderr()
  const records = new Records()
  const stop = new AbortController()
  const starting = defineService({ name: 'refusee', handlers: [onEvent('Any', () => {})] }).start({
    ...QUIET,
    urls: [changed(url, { username: 'guest', password: CANARY })],
    onLog: records.onLog,
    signal: stop.signal,
  })
  const outcome = starting.catch((error: unknown) => error)
  await expect.poll(() => records.of('ERROR'), { timeout: 5000 }).toHaveLength(1)
  expect(records.of('ERROR')[0]).toMatch(/refused user 'guest': check the user name, the password/)
  stop.abort()
  expect(await outcome).toMatchObject({ code: 'STOPPED' })
  for (const secret of [CANARY, encodeURIComponent(CANARY)]) {
    expect(stderr.text).not.toContain(secret)
    expect(JSON.stringify(records.all)).not.toContain(secret)
  }
  expect(stderr.text).toContain("refused user 'guest'")
})

test('no error has the password of its URL, however it is shown', async ({ url }) => {
  using stderr = new CapturedStderr()
  const { AmqpConnection } = await import('../../src/transport/amqp-connection.ts')
  const { parseBrokerUrl } = await import('../../src/transport/broker-url.ts')
  const { inspect } = await import('node:util')
  const { signal } = new AbortController()
  const settings = { name: 'canary', connectTimeoutMs: 2000, heartbeatMs: 1000 }
  await using closed = await proxyTo(url)
  closed.refuse()
  const wrongPassword = changed(url, { username: 'guest', password: CANARY })
  for (const wrong of [wrongPassword, closed.through(wrongPassword)]) {
    const error: unknown = await AmqpConnection.open(parseBrokerUrl(wrong), settings, signal).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(Error)
    const shown = `${inspect(error, { depth: 20 })} ${JSON.stringify(error)} ${stderr.text}`
    expect(shown).not.toContain(CANARY)
    expect(shown).not.toContain(encodeURIComponent(CANARY))
  }
})

test('a virtual host that does not exist is named', async ({ url }) => {
  using stderr = new CapturedStderr()
  const records = new Records()
  const stop = new AbortController()
  const starting = defineService({ name: 'homeless' }).start({
    ...QUIET,
    urls: [changed(url, { pathname: '/no-such-place' })],
    onLog: records.onLog,
    signal: stop.signal,
  })
  const outcome = outcomeOf(starting)
  await expect.poll(() => records.of('ERROR'), { timeout: 5000 }).toHaveLength(1)
  expect(records.of('ERROR')[0]).toMatch(/virtual host 'no-such-place': create it, or correct the URL/)
  stop.abort()
  expect(await outcome).toBe('STOPPED')
  expect(stderr.lines('no-such-place')).not.toEqual([])
})

test('a queue that exists with other arguments stops the start, with both values and what to do', async ({
  url,
  probe,
}) => {
  using _stderr = new CapturedStderr()
  await probe.declareQueue('differing.events', { durable: true, messageTtl: 60_000 })
  const records = new Records()
  const starting = defineService({ name: 'differing', handlers: [onEvent('Any', () => {})] }).start({
    ...QUIET,
    urls: [url],
    onLog: records.onLog,
  })
  const error: unknown = await starting.catch((e: unknown) => e)
  expect(error).toBeInstanceOf(TopologyError)
  const { message } = error as TopologyError
  expect(message).toContain("queue 'differing.events' exists on the broker with other arguments")
  expect(message).toMatch(/x-message-ttl.*none.*60000/)
  expect(message).toContain('Delete it')
  expect(records.of('EMERGENCY')).toEqual([message])
})

test('a half-open connection is found by its heartbeat, and replaced, whichever way is dead', async ({
  url,
  probe,
}) => {
  using stderr = new CapturedStderr()
  const handled: unknown[] = []
  const halfOpen = async (...ways: ('up' | 'down')[]): Promise<number> => {
    await using proxy = await proxyTo(url)
    const name = `half-open-${ways.join('-')}`
    await using worker = await defineService({
      name,
      heartbeatMs: 1000,
      handlers: [onEvent(name, ({ payload }) => void handled.push(payload))],
    }).start({ ...QUIET, urls: [proxy.through(url), url] })
    proxy.freeze(...ways)
    const began = performance.now()
    expect(await outcomeOf(worker.publish(name, name))).toBe('ok')
    const tookMs = performance.now() - began
    // where only its confirm was lost, the message comes twice
    await expect.poll(() => handled).toContain(name)
    await expect.poll(() => probe.counts(`${name}.events`)).toMatchObject({ messages: 0 })
    expect(stderr.lines('WARNING').filter((line) => line.includes(`${name} `))).toHaveLength(1)
    return tookMs
  }
  const took = await Promise.all([halfOpen('up', 'down'), halfOpen('up'), halfOpen('down')])
  expect(Math.max(...took)).toBeLessThan(5000)
})

test('a slow network is no reason to reconnect', async ({ url }) => {
  await using proxy = await proxyTo(url)
  await using worker = await defineService({ name: 'patient', heartbeatMs: 1000 }).start({
    ...QUIET,
    urls: [proxy.through(url)],
  })
  proxy.delay(600)
  const began = performance.now()
  while (performance.now() - began < 2600) expect(await outcomeOf(worker.publish('Slow', 1))).toBe('ok')
  proxy.pass()
  expect(proxy.opened).toBe(2)
})

test('an outage of two brokers is told once for each, and not at all where nothing is to be shown', async () => {
  using stderr = new CapturedStderr()
  const stop = new AbortController()
  const records: string[] = []
  const starting = (stderrLevel: 'NONE' | 'EMERGENCY'): Promise<unknown> =>
    defineService({ name: stderrLevel.toLowerCase() })
      .start({
        stderrLevel,
        urls: ['amqp://127.0.0.1:1', 'amqp://127.0.0.1:2'],
        signal: stop.signal,
        onLog: ({ level, short }) => level === 'WARNING' && stderrLevel === 'NONE' && records.push(short),
      })
      .catch(() => {})
  const both = Promise.all([starting('NONE'), starting('EMERGENCY')])
  // the third attempt is after one and two seconds
  await delay(3500)
  stop.abort()
  await both
  expect(records.filter((text) => text.includes('ECONNREFUSED'))).toHaveLength(2)
  expect(stderr.lines('ECONNREFUSED').filter((line) => line.includes('none'))).toEqual([])
  expect(stderr.lines('ECONNREFUSED')).toHaveLength(2)
}, 15_000)
