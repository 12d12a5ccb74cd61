/** `/metrics`, read as Prometheus reads it. */
import { CommandError, defineService, onCommand, onEvent, SETTLE_LATER } from 'eventail'
import { startHealthServer } from 'eventail/health'
import { Counter, register } from 'prom-client'
import { describe, expect, vi } from 'vitest'
import { test } from '../bus/bus.ts'
import { CapturedStderr, gate } from '../bus/watched.ts'

const QUIET = { stderrLevel: 'NONE' } as const

/** The samples of the text format, by name and labels as they are written. */
async function samplesOf(url: string): Promise<Map<string, number>> {
  const response = await fetch(`${url}/metrics`)
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const [, sample = '', value = ''] = /^([a-z_]+(?:\{(?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*\})?) (\S+)$/.exec(line) ?? []
      expect(sample, line).not.toBe('')
      return [sample, Number(value)]
    }),
  )
}

/** What became of messages: by kind, handler and outcome. */
function messagesOf(samples: Map<string, number>): Record<string, number> {
  const found: Record<string, number> = {}
  for (const [sample, value] of samples) {
    const [, kind, handler, outcome] =
      /^eventail_messages_total\{service="\w+",kind="(.*)",handler="(.*)",outcome="(.*)"\}$/.exec(sample) ?? []
    if (kind !== undefined && value > 0) found[`${kind} ${handler} ${outcome}`] = value
  }
  return found
}

describe('/metrics', () => {
  test('a handler that returns the query of a library, which begins when it is awaited, has it run once', async ({
    url,
    probe,
  }) => {
    await using health = await startHealthServer({ port: 0, metrics: true })
    let runs = 0
    const query = {
      // oxlint-disable-next-line unicorn/no-thenable -- a query builder is one
      then: (resolve: (rows: number) => void) => {
        runs += 1
        setImmediate(resolve, 1)
      },
    }
    const lazy = defineService({ name: 'lazy', handlers: [onEvent('Insert', () => query as Promise<number>)] })
    await using _worker = await lazy.start({ ...QUIET, urls: [url], health })
    await probe.event('Insert')
    await expect.poll(async () => messagesOf(await samplesOf(health.url))).toEqual({ 'event Insert acknowledged': 1 })
    expect(runs).toBe(1)
  })

  test('counts messages by what became of them, under the keys of handlers and never under those that come in', async ({
    url,
    probe,
    dead,
  }) => {
    await using health = await startHealthServer({ port: 0, metrics: true })
    const busy = defineService({
      name: 'busy',
      handlers: [
        onEvent('Good', () => {}),
        onEvent('busy.#', () => {}),
        onEvent('Bad', () => {
          throw new Error('as always')
        }),
        onEvent('Later', ({ ack }) => {
          setImmediate(() => void ack())
          return SETTLE_LATER
        }),
        onCommand('Do', () => {
          throw new CommandError('no')
        }),
      ],
    })
    await using _worker = await busy.start({ ...QUIET, urls: [url], health })
    await probe.publish({ exchange: 'commands', routingKey: 'busy.Do', headers: {}, body: {} })
    for (const key of ['Good', 'Good', 'Bad', 'Later', 'busy.one', 'busy.two']) await probe.event(key)
    await probe.declareQueue('busy.events')
    await probe.publish({ exchange: '', routingKey: 'busy.events', body: {} })
    await probe.bind('busy.events', 'events', 'Stray."\n')
    await probe.event('Stray."\n')
    // the failed one, the one without a handler, those without an envelope
    for (let n = 0; n < 4; n++) await dead.next()
    await expect
      .poll(async () => messagesOf(await samplesOf(health.url)))
      .toEqual({
        'event Good acknowledged': 2,
        'event busy.# acknowledged': 2,
        'event Bad requeued': 1,
        'event Bad dead-lettered': 1,
        'event Later acknowledged': 1,
        'event  dead-lettered': 2,
        'command  dead-lettered': 1,
      })
    await probe.command('busy.Do', {})
    await expect
      .poll(async () => messagesOf(await samplesOf(health.url)))
      .toMatchObject({ 'command Do acknowledged': 1 })
    const samples = await samplesOf(health.url)
    expect(samples.get('eventail_handler_duration_seconds_count{service="busy",kind="event",handler="Bad"}')).toBe(2)
    expect(samples.get('eventail_handler_duration_seconds_count{service="busy",kind="command",handler="Do"}')).toBe(1)
    expect([...samples.keys()].filter((sample) => sample.includes('Stray'))).toEqual([])
  })

  test('tells what is in hand and how long handlers take, and what is lost with its connection', async ({
    url,
    probe,
    management,
  }) => {
    using _stderr = new CapturedStderr()
    await using health = await startHealthServer({ port: 0, metrics: true })
    const gates = [gate(), gate()]
    let calls = 0
    const slow = defineService({
      name: 'slow',
      prefetch: 2,
      handlers: [onEvent('Slow', () => gates[calls++ === 0 ? 0 : 1]?.opened)],
    })
    await using worker = await slow.start({ ...QUIET, urls: [url], health })
    const figure = async (name: string, labels = ''): Promise<number | undefined> =>
      (await samplesOf(health.url)).get(`eventail_${name}{service="slow"${labels}}`)
    expect(await figure('ready')).toBe(1)
    expect(await figure('reconnects_total')).toBe(0)
    await probe.event('Slow', 1)
    await expect.poll(() => figure('handlers_running')).toBe(1)
    const began = performance.now()
    expect(await figure('messages_in_hand')).toBe(1)
    await management.closeConnections('slow@')
    await expect.poll(() => figure('reconnects_total')).toBe(1)
    await expect.poll(() => figure('handlers_running')).toBe(2)
    const slowLost = ',kind="event",handler="Slow",outcome="lost"'
    expect(await figure('messages_total', slowLost)).toBe(1)
    const tookMs = performance.now() - began
    for (const { open } of gates) open()
    await expect.poll(() => figure('handlers_running')).toBe(0)
    await expect.poll(() => figure('messages_in_hand')).toBe(0)
    expect(await figure('messages_total', ',kind="event",handler="Slow",outcome="acknowledged"')).toBe(1)
    expect(await figure('handler_duration_seconds_count', ',kind="event",handler="Slow"')).toBe(2)
    const seconds = (await figure('handler_duration_seconds_sum', ',kind="event",handler="Slow"')) ?? 0
    // that of the first handler, which had begun before
    expect(seconds).toBeGreaterThan(tookMs / 1000)
    expect(seconds).toBeLessThan(2 * (tookMs / 1000 + 5))
    await worker.stop()
    expect(await figure('ready')).toBe(0)
  })

  test('counts publishes that were confirmed and that failed, also over the end of a worker', async ({ url }) => {
    using _stderr = new CapturedStderr()
    await using health = await startHealthServer({ port: 0, metrics: true })
    const telling = defineService({ name: 'telling' })
    const figure = async (name: string, labels = ''): Promise<number | undefined> =>
      (await samplesOf(health.url)).get(`eventail_${name}{service="telling"${labels}}`)
    for (const round of [1, 2]) {
      const worker = await telling.start({ ...QUIET, urls: [url], health })
      await worker.publish('Told', 1)
      await worker.publish('Told', 2)
      await worker.publish('Told', 3, { mandatory: true }).catch(() => {})
      // in the first round nobody asks before it has stopped
      if (round === 2) {
        await expect.poll(() => figure('publishes_confirmed_total')).toBe(4)
        expect(await figure('publishes_pending')).toBe(0)
      }
      await worker.stop()
      await worker.publish('Told', 4).catch(() => {})
    }
    expect(await figure('publishes_confirmed_total')).toBe(4)
    expect(await figure('publishes_failed_total', ',code="UNROUTABLE"')).toBe(2)
    expect(await figure('log_records_dropped_total')).toBe(0)
  })

  test('tells what the program itself has registered as well', async () => {
    await using health = await startHealthServer({ port: 0, metrics: true })
    const own = new Counter({ name: 'orders_total', help: 'Orders.' })
    own.inc(3)
    expect((await samplesOf(health.url)).get('orders_total')).toBe(3)
    register.clear()
    expect((await samplesOf(health.url)).has('orders_total')).toBe(false)
  })
})

test('without prom-client metrics are refused with the mend, and the rest works', async () => {
  vi.resetModules()
  vi.doMock('prom-client', () => {
    throw new Error("Cannot find package 'prom-client'")
  })
  const { startHealthServer: startWithout } = await import('eventail/health')
  await expect(startWithout({ port: 0, metrics: true })).rejects.toThrow(
    "metrics: need the package 'prom-client': npm install prom-client",
  )
  await using health = await startWithout({ port: 0 })
  expect((await fetch(`${health.url}/healthz`)).status).toBe(200)
  vi.doUnmock('prom-client')
})
