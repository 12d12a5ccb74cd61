/** How often a message is tried, for how long, and what holds it back: what goes beyond the one retry. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import {
  defineService,
  HandlerTimeoutError,
  onCommand,
  onEvent,
  PermanentError,
  SETTLE_LATER,
  type ServiceOptions,
} from 'eventail'
import { createMemoryStore } from 'eventail/store'
import { describe, expect } from 'vitest'
import { startRedis } from '../../dev/redis.mjs'
import { jsonOf, type Probe, test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'
import { CapturedStderr, gate, outcomeOf, Records } from '../bus/watched.ts'

const DEADLY = fileURLToPath(new URL('programs/deadly.mjs', import.meta.url))
const QUIET = { stderrLevel: 'NONE', format: 'json' } as const

/** A service that fails while told to, and keeps what it was given. */
function failing(name: string, options: Partial<ServiceOptions> = {}) {
  const tries: unknown[] = []
  const state: { error: Error | undefined } = { error: new Error('no luck') }
  const service = defineService({
    ...options,
    name,
    handlers: [
      onEvent(`${name}.Work`, ({ payload }) => {
        tries.push(payload)
        if (state.error !== undefined) throw state.error
      }),
    ],
  })
  return { service, tries, state }
}

const settled = (probe: Probe, queue: string): Promise<void> =>
  expect.poll(() => probe.counts(queue), { timeout: 10_000 }).toEqual({ messages: 0, consumers: 1 })

describe('retry: attempts', () => {
  test('tries a message so many times, however often the broker delivered it before', async ({ url, probe, dead }) => {
    const { service, tries } = failing('thrice', { retry: { attempts: 3 } })
    // somebody looked at it: it is marked as redelivered
    await (await service.start({ ...QUIET, urls: [url] })).stop()
    await probe.event('thrice.Work', 1, { messageId: 'm1' })
    const channel = await probe.channel()
    const message = await channel.get('thrice.events')
    if (message !== false) channel.nack(message)
    await channel.close()
    const records = new Records()
    await using _worker = await service.start({ ...QUIET, urls: [url], onLog: records.onLog })
    expect((await dead.next()).properties.messageId).toBe('m1')
    expect(tries).toEqual([1, 1, 1])
    expect(records.of('ALERT')).toHaveLength(3)
    expect(records.of('EMERGENCY')).toEqual(['Giving up on thrice.Work'])
  })

  test('forgets the failures of a message that was handled', async ({ url, probe, dead }) => {
    const { service, tries, state } = failing('forgiving', { retry: { attempts: 2 } })
    await using _worker = await service.start({ ...QUIET, urls: [url] })
    for (let round = 0; round < 3; round++) {
      const before = tries.length
      state.error = new Error('no luck')
      await probe.event('forgiving.Work', round, { messageId: 'same' })
      await expect.poll(() => tries.length).toBeGreaterThan(before)
      state.error = undefined
      await settled(probe, 'forgiving.events')
      dead.received.length = 0
    }
    state.error = undefined
    await probe.event('forgiving.Work', 'last', { messageId: 'same' })
    await expect.poll(() => tries.at(-1)).toBe('last')
  })

  test('goes by what the broker knows of messages without an id', async ({ url, probe, dead }) => {
    const { service, tries } = failing('nameless', { retry: { attempts: 5 } })
    await using _worker = await service.start({ ...QUIET, urls: [url] })
    await probe.event('nameless.Work', 1)
    await dead.next()
    expect(tries).toEqual([1, 1])
  })
})

test('a PermanentError is final at the first try', async ({ url, probe, dead }) => {
  const { service, tries, state } = failing('hopeless', { retry: { attempts: 5 } })
  state.error = new PermanentError('this will never work')
  const records = new Records()
  await using _worker = await service.start({ ...QUIET, urls: [url], onLog: records.onLog })
  await probe.event('hopeless.Work', 1, { messageId: 'm1' })
  await dead.next()
  expect(tries).toEqual([1])
  expect(records.of('ALERT', 'EMERGENCY')).toEqual([
    'unexpected error while handling hopeless.Work: this will never work',
    'Giving up on hopeless.Work',
  ])
})

describe('a handler that does not end in its time', () => {
  test('has failed, frees its place, and what it does afterwards means nothing', async ({ url, probe, dead }) => {
    const goOn = gate()
    const handled: unknown[] = []
    const reasons: unknown[] = []
    const late: string[] = []
    const published = await probe.listen('events', 'TooLate')
    const records = new Records()
    await using _worker = await defineService({
      name: 'slow',
      concurrency: 1,
      handlerTimeoutMs: 100,
      handlers: [
        onEvent('Slow', async ({ payload, signal, publish }) => {
          handled.push(payload)
          if (payload !== 'hang') return
          signal.addEventListener('abort', () => reasons.push(signal.reason))
          await goOn.opened
          late.push(await outcomeOf(publish('TooLate', 1)))
        }),
      ],
    }).start({ ...QUIET, urls: [url], onLog: records.onLog })
    await probe.event('Slow', 'hang')
    await probe.event('Slow', 'next')
    await dead.next()
    expect(handled.filter((payload) => payload === 'hang')).toHaveLength(2)
    await expect.poll(() => handled).toContain('next')
    expect(reasons).toEqual([expect.any(HandlerTimeoutError), expect.any(HandlerTimeoutError)])
    expect(records.of('ALERT')[0]).toContain("the handler of 'Slow' did not end within 100 ms")
    goOn.open()
    await expect.poll(() => late).toEqual(['HANDLER_TIMEOUT', 'HANDLER_TIMEOUT'])
    await settled(probe, 'slow.events')
    expect(published.size).toBe(0)
  })

  test('is one that returns a promise of whatever library', async ({ url, probe, dead }) => {
    const records = new Records()
    await using _worker = await defineService({
      name: 'thenable',
      handlerTimeoutMs: 100,
      // oxlint-disable-next-line unicorn/no-thenable -- that is what it is about
      handlers: [onEvent('Thenable', () => ({ then: () => {} }))],
    }).start({ ...QUIET, urls: [url], onLog: records.onLog })
    await probe.event('Thenable')
    await dead.next()
    expect(records.of('ALERT')[0]).toContain("the handler of 'Thenable' did not end within 100 ms")
  })

  test('may have a time of its own, or all the time there is', async ({ url, probe }) => {
    const done: unknown[] = []
    const work = (name: string, ms: number) => async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, ms))
      done.push(name)
    }
    await using _worker = await defineService({
      name: 'patient',
      handlerTimeoutMs: 50,
      handlers: [
        onEvent('Longer', work('longer', 150), { timeoutMs: 5000 }),
        onEvent('Endless', work('endless', 150), { timeoutMs: Infinity }),
      ],
    }).start({ ...QUIET, urls: [url] })
    await probe.event('Longer')
    await probe.event('Endless')
    await expect.poll(() => done.toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual(['endless', 'longer'])
    await settled(probe, 'patient.events')
  })
})

describe('the outage brake', () => {
  test('holds a backlog back while all fails, tries one at a time, and dead-letters no more', async ({
    url,
    probe,
    dead,
  }) => {
    const { service, tries, state } = failing('braked', {
      outageBrake: { afterFailures: 4, maxDelayMs: 200 },
      prefetch: 10,
    })
    const records = new Records()
    await using _worker = await service.start({ ...QUIET, urls: [url], onLog: records.onLog })
    const messages = Array.from({ length: 30 }, (_, n) => n)
    for (const n of messages) await probe.event('braked.Work', n)
    await expect.poll(() => records.of('EMERGENCY').some((text) => text.includes('4 times in a row'))).toBe(true)
    const before = tries.length
    await expect.poll(() => tries.length, { timeout: 10_000 }).toBeGreaterThan(before + 3)
    // four failed before the brake took hold, two of them perhaps for the second time; and those that ran meanwhile
    expect(dead.size).toBeLessThanOrEqual(10)
    const deadNow = dead.size
    state.error = undefined
    await settled(probe, 'braked.events')
    await expect.poll(() => records.of('NOTICE').some((text) => text.includes('is handled again'))).toBe(true)
    expect(dead.size).toBe(deadNow)
    const handled = new Set(tries)
    expect(messages.filter((n) => !handled.has(n))).toEqual([])
  })

  test('goes on after its try lost its connection, and after one that is settled by hand', async ({ url, probe }) => {
    using _stderr = new CapturedStderr()
    await using proxy = await Proxy.start(Number(new URL(url).port))
    const tries: string[] = []
    let plan: 'fail' | 'cut' | 'later' = 'fail'
    await using _worker = await defineService({
      name: 'bumpy',
      outageBrake: { afterFailures: 2, maxDelayMs: 50 },
      handlers: [
        onEvent('Bump', async ({ signal, ack }) => {
          tries.push(plan)
          if (plan === 'fail') throw new Error('down')
          if (plan === 'cut') {
            plan = 'later'
            const lost = new Promise((resolve) => signal.addEventListener('abort', resolve))
            proxy.cut()
            await lost
            throw new Error('lost')
          }
          setTimeout(() => void ack(), 20)
          return SETTLE_LATER
        }),
      ],
    }).start({ ...QUIET, urls: [proxy.through(url)] })
    for (let n = 0; n < 4; n++) await probe.event('Bump', n, { messageId: `m${n}` })
    await expect.poll(() => tries.length).toBeGreaterThan(3)
    plan = 'cut'
    await expect.poll(() => tries.filter((how) => how === 'later').length, { timeout: 20_000 }).toBeGreaterThan(1)
    await settled(probe, 'bumpy.events')
  }, 40_000)

  test('saves no message whose handler says that it is final', async ({ url, probe, dead }) => {
    const { service, state, tries } = failing('finally', { outageBrake: { afterFailures: 1, maxDelayMs: 50 } })
    await using _worker = await service.start({ ...QUIET, urls: [url] })
    await probe.event('finally.Work', 1)
    await expect.poll(() => tries.length).toBeGreaterThan(1)
    state.error = new PermanentError('never')
    expect(jsonOf(await dead.next())).toBe(1)
  })

  test('gives back what waits when the service stops', async ({ url, probe }) => {
    const { service } = failing('stopped', { outageBrake: { afterFailures: 1, maxDelayMs: 60_000 }, prefetch: 5 })
    const worker = await service.start({ ...QUIET, urls: [url] })
    for (let n = 0; n < 5; n++) await probe.event('stopped.Work', n)
    await expect.poll(() => probe.counts('stopped.events')).toEqual({ messages: 0, consumers: 1 })
    const began = performance.now()
    await worker.stop()
    expect(performance.now() - began).toBeLessThan(2000)
    expect(await probe.counts('stopped.events')).toEqual({ messages: 5, consumers: 0 })
  })
})

describe('the crash guard', () => {
  test('gives up a message that took its workers down again and again', async ({ url, probe, dead }) => {
    await using redis = await startRedis().then((server) => ({ ...server, [Symbol.asyncDispose]: server.dispose }))
    const tries: string[] = []
    let stderr = ''
    const over = new AbortController()
    // what supervises a service starts it again, as often as it dies
    const supervise = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const child = spawn(process.execPath, [DEADLY, url, redis.url], { stdio: ['ignore', 'pipe', 'pipe'] })
        child.stdout.on('data', (chunk: Buffer) => tries.push(...chunk.toString().trim().split('\n')))
        child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
        stop = () => child.kill('SIGKILL')
        await once(child, 'close')
      }
    }
    let stop: () => unknown = () => {}
    const supervising = supervise()
    try {
      // its queue is bound when it consumes
      await expect
        .poll(() => probe.counts('deadly.events').catch(() => undefined), { timeout: 15_000 })
        .toEqual({ messages: 0, consumers: 1 })
      await probe.event('Deadly', 'kill', { messageId: 'm1' })
      await probe.event('Deadly', 'good', { messageId: 'm2' })
      await expect
        .poll(() => dead.received.map(({ properties }) => properties.messageId), { timeout: 90_000 })
        .toEqual(['m1'])
      await expect.poll(() => tries.at(-1)).toBe('good')
      // a store that does not answer in time does not count
      const uncounted = stderr.split('the crash guard cannot count').length - 1
      const kills = tries.filter((payload) => payload === 'kill').length
      expect(kills).toBeGreaterThanOrEqual(3)
      expect(kills).toBeLessThanOrEqual(3 + uncounted)
      expect(stderr).toContain('Giving up on Deadly')
    } finally {
      over.abort()
      stop()
      await supervising
    }
  }, 150_000)

  test('holds nothing against a message that is settled by hand, and comes again for that', async ({
    url,
    probe,
    dead,
  }) => {
    await using store = createMemoryStore({ namespace: '' })
    let tries = 0
    await using _worker = await defineService({
      name: 'manual',
      crashGuard: { store, maxRedeliveries: 1 },
      handlers: [
        onEvent('Manual', ({ ack, nack }) => {
          tries += 1
          setTimeout(() => void (tries < 5 ? nack({ requeue: true }) : ack()), 5)
          return SETTLE_LATER
        }),
      ],
    }).start({ ...QUIET, urls: [url] })
    await probe.event('Manual', undefined, { messageId: 'm1' })
    await expect.poll(() => tries).toBe(5)
    await settled(probe, 'manual.events')
    expect(dead.size).toBe(0)
  })

  test('holds nothing against a message that only lost its connections', async ({ url, probe, dead }) => {
    using _stderr = new CapturedStderr()
    await using proxy = await Proxy.start(Number(new URL(url).port))
    await using store = createMemoryStore({ namespace: '' })
    let tries = 0
    await using _worker = await defineService({
      name: 'unlucky',
      crashGuard: { store, maxRedeliveries: 1 },
      handlers: [
        onEvent('Unlucky', async ({ signal }) => {
          tries += 1
          if (tries > 3) return
          const lost = new Promise((resolve) => signal.addEventListener('abort', resolve))
          proxy.cut()
          await lost
        }),
      ],
    }).start({ ...QUIET, urls: [proxy.through(url)] })
    await probe.event('Unlucky', undefined, { messageId: 'm1' })
    await expect.poll(() => tries, { timeout: 30_000 }).toBe(4)
    await settled(probe, 'unlucky.events')
    expect(dead.size).toBe(0)
  }, 60_000)
})

test('what cannot be a retry policy, a time or a guard is refused', () => {
  const make = (options: object) => () => defineService({ name: 'x', ...options })
  expect(make({ retry: { attempts: 0 } })).toThrow('retry.attempts: must be a whole number of 1 or more, not 0')
  expect(make({ retry: 'twice' })).toThrow('retry: must be an object')
  expect(make({ handlerTimeoutMs: 0 })).toThrow('handlerTimeoutMs: must be milliseconds from 1')
  expect(make({ outageBrake: { after: 3 } })).toThrow("'after' does not exist; did you mean 'afterFailures'?")
  expect(make({ crashGuard: {} })).toThrow('crashGuard.store: must be a store')
  expect(() => onEvent('X', () => {}, { timeout: 3 } as never)).toThrow("did you mean 'timeoutMs'?")
  expect(() => onCommand('X', () => 1, { once: {} } as never)).toThrow('once.store: must be a store')
})
