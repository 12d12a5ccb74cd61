/** What a worker says of its own health, at the turns of its life. */
import { defineService, type HealthObserver, onCommand, onConfiguration, onEvent, type ServiceHealth } from 'eventail'
import { describe, expect } from 'vitest'
import { test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'
import { CapturedStderr, gate, outcomeOf, Records } from '../bus/watched.ts'

const QUIET = { stderrLevel: 'NONE' } as const
const WELL = { isLive: true, isReady: true, state: 'ready', problems: [] } as const

/** Keeps a way to ask the last worker, from its beginning. */
class Watching implements HealthObserver {
  ask: () => ServiceHealth = () => {
    throw new Error('no worker has begun')
  }
  watch(worker: { health: () => ServiceHealth }): object {
    this.ask = worker.health
    return {}
  }
}

test('a service that consumes from all of its queues is ready', async ({ url }) => {
  const whole = defineService({ name: 'whole', handlers: [onEvent('Any', () => {}), onCommand('Do', () => {})] })
  await using worker = await whole.start({ ...QUIET, urls: [url] })
  expect(worker.health()).toEqual({ ...WELL, service: 'whole' })
  await using publishing = await defineService({ name: 'publishing' }).start({ ...QUIET, urls: [url] })
  expect(publishing.health()).toEqual({ ...WELL, service: 'publishing' })
})

describe('a service that waits for its configuration', () => {
  test('is not ready before it comes, and names what it waits for', async ({ url, probe }) => {
    const patient = defineService({
      name: 'patient',
      handlers: [
        onConfiguration('patient.Limits', () => true),
        onConfiguration('patient.Prices', () => true),
        onEvent('Any', () => {}),
      ],
    })
    await using worker = await patient.start({ ...QUIET, urls: [url] })
    expect(worker.health()).toEqual({
      service: 'patient',
      state: 'unconfigured',
      isLive: true,
      isReady: false,
      problems: ['waits for its configuration (patient.Limits, patient.Prices), and consumes nothing else before'],
    })
    await probe.publish({ exchange: 'configurations', routingKey: 'patient.Prices', body: {} })
    await expect.poll(() => worker.health()).toEqual({ ...WELL, service: 'patient' })
  })

  test('is not ready before the broker has each of its consumers', async ({ url, probe }) => {
    await using proxy = await Proxy.start(Number(new URL(url).port))
    const halfway = defineService({
      name: 'halfway',
      handlers: [
        onConfiguration('halfway.Conf', () => {
          // what the broker answers from now on is held up
          proxy.freeze('down')
          return true
        }),
        onEvent('Any', () => {}),
        onCommand('Do', () => {}),
      ],
    })
    await using worker = await halfway.start({ ...QUIET, urls: [proxy.through(url)] })
    await probe.publish({ exchange: 'configurations', routingKey: 'halfway.Conf', body: {} })
    await expect
      .poll(() => worker.health().problems)
      .toEqual([
        "does not consume from queue 'halfway.events' yet",
        "does not consume from queue 'halfway.commands' yet",
      ])
    expect(worker.health()).toMatchObject({ isLive: true, isReady: false })
    proxy.pass()
    await expect.poll(() => worker.health()).toEqual({ ...WELL, service: 'halfway' })
  })
})

test('a service whose queue was deleted is not ready until it consumes again', async ({ url, probe }) => {
  using _stderr = new CapturedStderr()
  const records = new Records()
  const health = new Watching()
  const atOnce: ServiceHealth[] = []
  const bereft = defineService({
    name: 'bereft',
    handlers: [onEvent('Any', () => {})],
    hooks: { onReady: ({ signal }) => signal.addEventListener('abort', () => atOnce.push(health.ask())) },
  })
  await using worker = await bereft.start({ ...QUIET, urls: [url], onLog: records.onLog, health })
  const told = new Promise<ServiceHealth>((resolve) => {
    records.once(/^connection lost/, () => resolve(worker.health()))
  })
  await probe.deleteQueue('bereft.events')
  const lost = {
    service: 'bereft',
    state: 'connecting',
    isLive: true,
    isReady: false,
    problems: [
      "is not connected to the broker: the broker cancelled consuming from queue 'bereft.events': was it deleted?",
    ],
  }
  expect(await told).toEqual(lost)
  // also before what is left of the connections was closed
  expect(atOnce).toEqual([{ ...lost, state: 'ready' }])
  await expect.poll(() => worker.health()).toEqual({ ...WELL, service: 'bereft' })
  expect(health.ask()).toEqual(worker.health())
})

test('before it has connected a service lives, is not ready, and says why without the password', async ({ url }) => {
  using _stderr = new CapturedStderr()
  await using proxy = await Proxy.start(Number(new URL(url).port))
  proxy.refuse()
  const health = new Watching()
  const giveUp = new AbortController()
  const urls = [proxy.through(url).replace('amqp://', 'amqp://somebody:canary@')]
  const early = defineService({ name: 'early', handlers: [onEvent('Any', () => {})] })
  const started = outcomeOf(early.start({ ...QUIET, urls, health, signal: giveUp.signal }))
  await expect
    .poll(() => health.ask().problems.join('\n'))
    .toMatch(/^is not connected to the broker: cannot connect to amqp:\/\/somebody@127/)
  expect(health.ask()).toMatchObject({ service: 'early', state: 'connecting', isLive: true, isReady: false })
  expect(JSON.stringify(health.ask())).not.toContain('canary')
  giveUp.abort()
  expect(await started).toBe('STOPPED')
})

test('a service that lost its broker lives, is not ready, and is again when the broker is back', async ({ url }) => {
  using _stderr = new CapturedStderr()
  await using proxy = await Proxy.start(Number(new URL(url).port))
  const lonely = defineService({ name: 'lonely', handlers: [onEvent('Any', () => {})] })
  await using worker = await lonely.start({ ...QUIET, urls: [proxy.through(url)] })
  expect(worker.health().isReady).toBe(true)
  proxy.refuse()
  await expect
    .poll(() => worker.health().problems)
    .toEqual([expect.stringContaining('is not connected to the broker: ')])
  expect(worker.health().isLive).toBe(true)
  proxy.pass()
  await expect.poll(() => worker.health().isReady).toBe(true)
})

test('a service that stops is not ready from then on, and lives until it has stopped', async ({ url, probe }) => {
  const goOn = gate()
  const running = gate()
  const leaving = defineService({
    name: 'leaving',
    handlers: [
      onEvent('Any', () => {
        running.open()
        return goOn.opened
      }),
    ],
  })
  using _stderr = new CapturedStderr()
  const worker = await leaving.start({ ...QUIET, urls: [url] })
  await probe.event('Any')
  await running.opened
  const stopped = worker.stop()
  const stopping = { service: 'leaving', state: 'stopping', isLive: true, isReady: false, problems: ['is stopping'] }
  expect(worker.health()).toEqual(stopping)
  goOn.open()
  await stopped
  expect(worker.health()).toEqual({ ...stopping, state: 'stopped', isLive: false, problems: ['has stopped'] })
})

test('a service that failed says so, and leaves what others wrote to its log', async ({ url }) => {
  using _stderr = new CapturedStderr()
  const failing = defineService({
    name: 'failing',
    hooks: {
      onReady: () => {
        throw new TypeError('could not reach postgres://me:secret@db')
      },
    },
  })
  const worker = await failing.start({ ...QUIET, urls: [url] })
  await worker.stopped
  expect(worker.health()).toMatchObject({
    isLive: false,
    isReady: false,
    problems: ['has stopped: an unexpected TypeError; its log has the details'],
  })
})

test('an observer that fails does not harm the work that it watches', async ({ url, probe }) => {
  const handled: unknown[] = []
  const fail = (): never => {
    throw new Error('of the observer')
  }
  const watched = defineService({
    name: 'watched',
    handlers: [onEvent('Any', ({ payload }) => void handled.push(payload))],
  })
  const health: HealthObserver = { watch: () => ({ settled: fail, ran: fail, stopped: fail }) }
  const worker = await watched.start({ ...QUIET, urls: [url], health })
  for (const n of [1, 2, 3, 4]) await probe.event('Any', n)
  await expect.poll(() => handled).toEqual([1, 2, 3, 4])
  await worker.stop()
  expect(worker.state).toBe('stopped')
  expect(await probe.counts('watched.events')).toEqual({ messages: 0, consumers: 0 })
})

test('what is no health server is refused where it is given', async ({ url }) => {
  const service = defineService({ name: 'wrong' })
  const start = (health: unknown): Promise<string> =>
    service.start({ urls: [url], health: health as HealthObserver }).then(
      () => 'started',
      (error: unknown) => String(error),
    )
  expect(await start(Promise.resolve())).toMatch(/health: must be what startHealthServer.*a promise: await it/)
  expect(await start({ port: 1 })).toMatch(/health: must be what startHealthServer.*not an object/)
  expect(await outcomeOf(service.start({ urls: [url], health: true as never }))).toBe('INVALID_SETTING')
})
