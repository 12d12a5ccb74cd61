import { defineService, onCommand, onEvent } from 'eventail'
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import { jsonOf, test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'
import { CapturedStderr, gate, outcomeOf, Records } from '../bus/watched.ts'

// what is said while the broker is away is said on stderr
const QUIET = { stderrLevel: 'EMERGENCY', format: 'json' } as const

const proxyTo = (url: string): Promise<Proxy> => Proxy.start(Number(new URL(url).port))

/** Milliseconds until it resolves. */
async function timeOf(promise: Promise<unknown>): Promise<number> {
  const began = performance.now()
  await promise
  return performance.now() - began
}

test('a stop finishes what is in hand, confirms and acknowledges it, and takes nothing more', async ({
  url,
  probe,
}) => {
  const done = await probe.listen('events', 'Done')
  const begun: unknown[] = []
  const goOn = gate()
  const records = new Records()
  const worker = await defineService({
    name: 'finisher',
    prefetch: 10,
    concurrency: 2,
    handlers: [
      onEvent('Work', async ({ payload, publish }) => {
        begun.push(payload)
        await goOn.opened
        await publish('Done', payload)
      }),
    ],
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  for (let n = 0; n < 30; n++) await probe.event('Work', n)
  await expect.poll(() => probe.counts('finisher.events')).toEqual({ messages: 20, consumers: 1 })
  const stopping = worker.stop()
  expect(worker.state).toBe('stopping')
  await expect.poll(() => probe.counts('finisher.events')).toEqual({ messages: 20, consumers: 0 })
  goOn.open()
  await stopping
  expect(worker.state).toBe('stopped')
  expect(worker.failure).toBeUndefined()
  expect(begun).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  await expect.poll(() => done.received.map(jsonOf)).toEqual(begun)
  // what was not taken is as new: the one retry of no message was used up
  const left = await probe.consume('finisher.events')
  for (let n = 10; n < 30; n++) {
    const message = await left.next()
    expect([jsonOf(message), message.fields.redelivered]).toEqual([n, false])
  }
  expect(records.of('WARNING')).toEqual(['Shutting down…'])
})

test('a stop may be asked for at any time and more than once', async ({ url }) => {
  const records = new Records()
  const worker = await defineService({ name: 'twice' }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  await Promise.all([worker.stop(), worker.stop()])
  await worker.stop()
  await worker.stopped
  expect(worker.state).toBe('stopped')
  expect(records.of('WARNING')).toEqual(['Shutting down…'])
})

test('a stop waits for what was published, and what is published after it is rejected', async ({ url, probe }) => {
  const arrived = await probe.listen('events', 'Last')
  const worker = await defineService({ name: 'last' }).start({ ...QUIET, urls: [url] })
  const outcomes = Array.from({ length: 500 }, (_, n) => outcomeOf(worker.publish('Last', n)))
  await worker.stop()
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']))
  expect(await outcomeOf(worker.publish('Last', 'too late'))).toBe('STOPPED')
  expect(await outcomeOf(worker.sendCommand('last.Do', 'too late'))).toBe('STOPPED')
  await expect.poll(() => arrived.received.map(jsonOf)).toEqual(Array.from({ length: 500 }, (_, n) => n))
})

test('what is not done when the drain time is over goes back to the broker, and its handler is told', async ({
  url,
  probe,
}) => {
  const told = gate<unknown>()
  const goOn = gate()
  const late: string[] = []
  const records = new Records()
  const worker = await defineService({
    name: 'overdue',
    drainTimeoutMs: 200,
    handlers: [
      onEvent('Endless', async ({ signal, publish }) => {
        signal.addEventListener('abort', () => told.open(signal.reason))
        await goOn.opened
        late.push(await outcomeOf(publish('TooLate', 1)))
      }),
    ],
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  const tooLate = await probe.listen('events', 'TooLate')
  await probe.event('Endless')
  await expect.poll(() => probe.counts('overdue.events')).toEqual({ messages: 0, consumers: 1 })
  expect(await timeOf(worker.stop())).toBeLessThan(2000)
  expect(await told.opened).toMatchObject({ code: 'STOPPED' })
  goOn.open()
  await expect.poll(() => late).toEqual(['STOPPED'])
  expect(tooLate.size).toBe(0)
  expect(records.of('WARNING').at(-1)).toMatch(/not done after 200 ms; back to the broker go 1 message \(Endless\)/)
  const back = await (await probe.consume('overdue.events')).next()
  expect(back.fields.redelivered).toBe(true)
})

test('a stop whose connections are lost meanwhile ends with them, and what was in hand goes back', async ({
  url,
  probe,
}) => {
  await using proxy = await proxyTo(url)
  const begun = gate()
  const worker = await defineService({
    name: 'cut-short',
    handlers: [
      onEvent('Any', () => {
        begun.open()
        return new Promise(() => {})
      }),
    ],
  }).start({ ...QUIET, urls: [proxy.through(url)] })
  await probe.event('Any')
  await begun.opened
  const stopped = timeOf(worker.stop())
  await expect.poll(() => probe.counts('cut-short.events')).toMatchObject({ consumers: 0 })
  proxy.cut()
  expect(await stopped).toBeLessThan(1_000)
  await expect.poll(() => probe.counts('cut-short.events')).toEqual({ messages: 1, consumers: 0 })
})

test('a service stops while it connects', async ({ url }) => {
  using _stderr = new CapturedStderr()
  await using proxy = await proxyTo(url)
  proxy.freeze()
  const stop = new AbortController()
  const starting = outcomeOf(
    defineService({ name: 'stuck', connectTimeoutMs: 60_000 }).start({
      ...QUIET,
      urls: [proxy.through(url)],
      signal: stop.signal,
    }),
  )
  await expect.poll(() => proxy.opened).toBe(1)
  stop.abort()
  expect(await timeOf(starting)).toBeLessThan(2000)
  expect(await starting).toBe('STOPPED')
})

test('a service stops while it waits to connect again, and names what it could not send', async ({ url }) => {
  using stderr = new CapturedStderr()
  await using proxy = await proxyTo(url)
  const worker = await defineService({ name: 'waiting' }).start({ ...QUIET, urls: [proxy.through(url)] })
  proxy.refuse()
  // the first attempt was refused: the next is a second away
  await expect.poll(() => proxy.opened).toBe(3)
  const unsent = [outcomeOf(worker.publish('Unsent', 1)), outcomeOf(worker.publish('Unsent', 2))]
  expect(await timeOf(worker.stop())).toBeLessThan(2000)
  expect(await Promise.all(unsent)).toEqual(['STOPPED', 'STOPPED'])
  expect(stderr.lines('EMERGENCY')).toEqual([
    expect.stringMatching(/stopped before the broker confirmed 2 messages \(Unsent\)/),
  ])
})

test('a service stops when its signal aborts, during its life or before', async ({ url }) => {
  using _stderr = new CapturedStderr()
  const stop = new AbortController()
  const service = defineService({ name: 'signalled' })
  const worker = await service.start({ ...QUIET, urls: [url], signal: stop.signal })
  stop.abort()
  await worker.stopped
  expect(worker.state).toBe('stopped')
  expect(await outcomeOf(service.start({ ...QUIET, urls: [url], signal: AbortSignal.abort() }))).toBe('STOPPED')
})

test('a worker that goes out of scope is stopped', async ({ url, probe }) => {
  let stopped: Promise<void>
  {
    await using worker = await defineService({
      name: 'scoped',
      handlers: [onEvent('Scoped', () => {})],
    }).start({ ...QUIET, urls: [url] })
    stopped = worker.stopped
    expect(await probe.counts('scoped.events')).toEqual({ messages: 0, consumers: 1 })
  }
  await stopped
  expect(await probe.counts('scoped.events')).toEqual({ messages: 0, consumers: 0 })
})

test('stopping at any moment loses nothing and repeats nothing', async ({ url, probe }) => {
  const done = await probe.listen('events', 'Did')
  const service = defineService({
    name: 'restless',
    prefetch: 5,
    handlers: [
      onEvent('Do', async ({ payload, publish }) => {
        await delay(Math.random() * 5)
        await publish('Did', payload)
      }),
    ],
  })
  const first = await service.start({ ...QUIET, urls: [url] })
  await first.stop()
  for (let n = 0; n < 150; n++) await probe.event('Do', n)
  while ((await probe.counts('restless.events')).messages > 0) {
    const worker = await service.start({ ...QUIET, urls: [url] })
    await delay(Math.random() * 30)
    await worker.stop()
  }
  await expect.poll(() => done.size).toBeGreaterThanOrEqual(150)
  expect(done.received.map(jsonOf).toSorted((a, b) => Number(a) - Number(b))).toEqual(
    Array.from({ length: 150 }, (_, n) => n),
  )
})

test('a hook that waits for what it publishes does not hold up the stop of a service without a broker', async ({
  url,
}) => {
  using _stderr = new CapturedStderr()
  await using proxy = await proxyTo(url)
  const said: string[] = []
  const worker = await defineService({
    name: 'last-words',
    hooks: {
      onStop: async ({ publish }) => {
        said.push(await outcomeOf(publish('Stopped', 1)))
      },
    },
  }).start({ ...QUIET, urls: [proxy.through(url)] })
  proxy.refuse()
  await expect.poll(() => worker.state).toBe('connecting')
  expect(await timeOf(worker.stop())).toBeLessThan(2000)
  expect(said).toEqual(['STOPPED'])
})

test('a stop that comes while the last consumer is being asked for finishes what was delivered', async ({
  url,
  probe,
}) => {
  await using proxy = await proxyTo(url)
  const stop = new AbortController()
  const handled: unknown[] = []
  const eager = defineService({
    name: 'eager',
    handlers: [
      onEvent('Waits', ({ payload }) => {
        handled.push(payload)
        stop.abort()
      }),
      onCommand('Do', () => 1),
    ],
  })
  await (await eager.start({ ...QUIET, urls: [url] })).stop()
  for (const n of [1, 2, 3]) await probe.event('Waits', n)
  // the answer to the second consumer comes after the deliveries of the first
  proxy.delay(50)
  await eager.start({ ...QUIET, urls: [proxy.through(url)], signal: stop.signal }).catch(() => {})
  await expect.poll(() => handled).toEqual([1, 2, 3])
  await expect.poll(() => probe.counts('eager.events')).toEqual({ messages: 0, consumers: 0 })
})

test('what is undefined in the options of the start overrides nothing', async ({ url }) => {
  const small = defineService({ name: 'small', maxPayloadBytes: 10 })
  await using worker = await small.start({ ...QUIET, urls: [url], maxPayloadBytes: undefined } as never)
  expect(await outcomeOf(worker.publish('Large', 'x'.repeat(20)))).toBe('PAYLOAD_ENCODE')
})
