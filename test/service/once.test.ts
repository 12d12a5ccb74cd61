/** Work that is done once per message, however often the message comes, and what happens when that cannot be known. */
import { CommandError, defineService, onCommand, onEvent, SETTLE_LATER, StoreError } from 'eventail'
import { createMemoryStore, createTempStore, type TempStore } from 'eventail/store'
import { afterAll, beforeAll, expect } from 'vitest'
import { type RedisServer, startRedis } from '../../dev/redis.mjs'
import { jsonOf, type Probe, test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'
import { CapturedStderr, gate, Records } from '../bus/watched.ts'

const QUIET = { stderrLevel: 'NONE', format: 'json' } as const

let redis: RedisServer
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.dispose())

const settled = (probe: Probe, queue: string): Promise<void> =>
  expect.poll(() => probe.counts(queue), { timeout: 10_000 }).toEqual({ messages: 0, consumers: 1 })

/** A store that is down while told to be. */
function fragile(): TempStore & { down: boolean } {
  const store = createMemoryStore({ namespace: '' })
  const wrapped = {
    ...store,
    down: false,
    peekOrCreate: (...args: Parameters<TempStore['peekOrCreate']>) =>
      wrapped.down ? Promise.reject(new StoreError('gone fishing')) : store.peekOrCreate(...args),
  }
  return wrapped
}

test('a message that comes again is acknowledged, and its work not done again, whichever worker gets it', async ({
  url,
  probe,
}) => {
  await using store = createTempStore({ namespace: 'once:', url: redis.url })
  const done: unknown[] = []
  const published = await probe.listen('events', 'Done')
  const service = defineService({
    name: 'single',
    handlers: [
      onEvent(
        'Single',
        async ({ payload, publish }) => {
          done.push(payload)
          await publish('Done', payload)
        },
        { once: { store } },
      ),
    ],
  })
  const records = new Records()
  await using one = await service.start({ ...QUIET, urls: [url], onLog: records.onLog })
  await using two = await service.start({ ...QUIET, urls: [url], onLog: records.onLog })
  for (let n = 0; n < 20; n++) await probe.event('Single', n % 4, { messageId: `m${n % 4}` })
  await expect.poll(() => published.size).toBe(4)
  const repeated = (): string[] => records.of('DEBUG').filter((text) => text.includes('is not handled again'))
  await expect.poll(() => repeated().length, { timeout: 15_000 }).toBe(16)
  await Promise.all([one.stop(), two.stop()])
  expect(await probe.counts('single.events')).toEqual({ messages: 0, consumers: 0 })
  expect(done.toSorted((a, b) => Number(a) - Number(b))).toEqual([0, 1, 2, 3])
  expect(published.size).toBe(4)
  expect(await store.peek('done:single:m0')).toBe(true)
})

test('messages without an id are handled each time, or told apart by a key of the user', async ({ url, probe }) => {
  await using store = createMemoryStore({ namespace: '' })
  const done: [string, unknown][] = []
  await using worker = await defineService({
    name: 'keyed',
    handlers: [
      onEvent('Plain', ({ payload }) => done.push(['plain', payload]), { once: { store } }),
      onEvent('Keyed', ({ payload }) => done.push(['keyed', payload]), {
        once: { store, key: ({ payload }) => String((payload as { id: number }).id) },
      }),
    ],
  }).start({ ...QUIET, urls: [url] })
  for (let n = 0; n < 2; n++) {
    await probe.event('Plain', n)
    await probe.event('Keyed', { id: 7, n })
  }
  await worker.stop()
  expect(await probe.counts('keyed.events')).toEqual({ messages: 0, consumers: 0 })
  expect(done).toHaveLength(3)
  expect(done.filter(([kind]) => kind === 'keyed')).toEqual([['keyed', { id: 7, n: 0 }]])
})

test('the same key of the user is another one for each handler', async ({ url, probe }) => {
  await using store = createMemoryStore({ namespace: '' })
  const done: string[] = []
  const once = { store, key: () => 'same' }
  await using worker = await defineService({
    name: 'apart',
    handlers: [
      onEvent('Billed', () => void done.push('billed'), { once }),
      onEvent('Shipped', () => void done.push('shipped'), { once }),
    ],
  }).start({ ...QUIET, urls: [url] })
  for (const event of ['Billed', 'Shipped', 'Billed']) await probe.event(event)
  await worker.stop()
  expect(await probe.counts('apart.events')).toEqual({ messages: 0, consumers: 0 })
  expect(done).toEqual(['billed', 'shipped'])
})

test('a message that another worker has in hand waits, and takes no place from the others', async ({ url, probe }) => {
  await using store = createMemoryStore({ namespace: '' })
  const records = new Records()
  const done: unknown[] = []
  await using _worker = await defineService({
    name: 'queueing',
    concurrency: 1,
    handlers: [onEvent('Queue', ({ payload }) => void done.push(payload), { once: { store } })],
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  const held = gate()
  const other = store.peekOrCreate('done:queueing:m1', async () => {
    await held.opened
    return true
  })
  await probe.event('Queue', 'held', { messageId: 'm1' })
  await probe.event('Queue', 'free', { messageId: 'm2' })
  await expect.poll(() => done, { timeout: 4000 }).toEqual(['free'])
  expect(records.of('NOTICE').some((text) => text.startsWith('Queue waits:'))).toBe(true)
  held.open()
  await other
  await expect.poll(() => probe.counts('queueing.events'), { timeout: 10_000 }).toEqual({ messages: 0, consumers: 1 })
  expect(done).toEqual(['free'])
})

test('a command that comes again is not answered again, and a CommandError is an outcome like any other', async ({
  url,
  probe,
}) => {
  await using store = createMemoryStore({ namespace: '' })
  let runs = 0
  const results = await probe.listen('commands', 'probe.Result')
  await using worker = await defineService({
    name: 'asked',
    format: 'json',
    handlers: [
      onCommand(
        'Do',
        ({ payload }) => {
          runs += 1
          if (payload === 'refuse') throw new CommandError({ why: 'no' })
          return runs
        },
        { once: { store } },
      ),
    ],
  }).start({ ...QUIET, urls: [url] })
  for (const [id, payload] of [
    ['a', 'do'],
    ['a', 'do'],
    ['b', 'refuse'],
    ['b', 'refuse'],
  ])
    await probe.command('asked.Do', payload, { messageId: id as string })
  await expect.poll(() => results.size).toBe(2)
  await worker.stop()
  expect(await probe.counts('asked.commands')).toEqual({ messages: 0, consumers: 0 })
  expect(runs).toBe(2)
  expect(results.received.map((result) => [result.properties.headers?.['status'], jsonOf(result)])).toEqual([
    ['success', 1],
    ['error', { why: 'no' }],
  ])
})

test('work that fails is not remembered; work whose connection is lost before its publishes are confirmed neither', async ({
  url,
  probe,
}) => {
  using _stderr = new CapturedStderr()
  await using store = createMemoryStore({ namespace: '' })
  await using proxy = await Proxy.start(Number(new URL(url).port))
  const runs: unknown[] = []
  const published = await probe.listen('events', 'Out')
  await using _worker = await defineService({
    name: 'repeated',
    handlers: [
      onEvent(
        'Again',
        async ({ payload, publish, metadata, signal }) => {
          runs.push(payload)
          if (payload === 'fail' && !metadata.redelivered) throw new Error('first')
          if (payload === 'cut' && !metadata.redelivered) {
            const lost = new Promise((resolve) => signal.addEventListener('abort', resolve))
            proxy.cut()
            await lost
          }
          await publish('Out', payload)
        },
        { once: { store } },
      ),
    ],
  }).start({ ...QUIET, urls: [proxy.through(url)] })
  await probe.event('Again', 'fail', { messageId: 'f' })
  await expect.poll(() => published.received.map(jsonOf)).toEqual(['fail'])
  await probe.event('Again', 'cut', { messageId: 'c' })
  await expect.poll(() => published.received.map(jsonOf), { timeout: 10_000 }).toEqual(['fail', 'cut'])
  await settled(probe, 'repeated.events')
  expect(runs).toEqual(['fail', 'fail', 'cut', 'cut'])
})

test('while the store is down messages wait, with an ALERT, or are handled all the same, with a WARNING', async ({
  url,
  probe,
}) => {
  const store = fragile()
  const done: string[] = []
  const records = new Records()
  await using _worker = await defineService({
    name: 'storeless',
    handlers: [
      onEvent('Waits', () => done.push('waits'), { once: { store } }),
      onEvent('Goes', () => done.push('goes'), { once: { store, whenDown: 'handle' } }),
    ],
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  store.down = true
  await probe.event('Waits', 1, { messageId: 'w' })
  await probe.event('Goes', 1, { messageId: 'g' })
  await expect.poll(() => done).toEqual(['goes'])
  expect(records.of('WARNING')).toEqual(['it may be handled twice: gone fishing'])
  // five seconds
  await expect
    .poll(() => records.of('ALERT'), { timeout: 10_000 })
    .toEqual(['unexpected error while handling Waits: gone fishing'])
  store.down = false
  await expect.poll(() => done, { timeout: 10_000 }).toEqual(['goes', 'waits'])
  await settled(probe, 'storeless.events')
}, 30_000)

test('a handler that settles its messages itself cannot be one of these', async ({ url, probe, dead }) => {
  await using store = createMemoryStore({ namespace: '' })
  const records = new Records()
  await using _worker = await defineService({
    name: 'manual',
    handlers: [onEvent('Manual', () => SETTLE_LATER, { once: { store } })],
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  await probe.event('Manual', 1, { messageId: 'm' })
  await dead.next()
  // trying again cannot help
  expect(records.of('ALERT')).toEqual([expect.stringContaining("which 'once' cannot follow")])
  expect(await store.peek('done:manual:m')).toBeUndefined()
})

test('a message that its handler gave back itself is not remembered as done', async ({ url, probe }) => {
  await using store = createMemoryStore({ namespace: '' })
  const tries: unknown[] = []
  await using _worker = await defineService({
    name: 'returned',
    handlers: [
      onEvent(
        'Returned',
        async ({ payload, nack }) => {
          tries.push(payload)
          if (tries.length < 3) await nack({ requeue: true })
        },
        { once: { store } },
      ),
    ],
  }).start({ ...QUIET, urls: [url] })
  await probe.event('Returned', 1, { messageId: 'm' })
  await settled(probe, 'returned.events')
  expect(tries).toHaveLength(3)
  expect(await store.peek('done:returned:m')).toBe(true)
})

test('a message whose handler is overdue is not begun again before that one has ended', async ({
  url,
  probe,
  dead,
}) => {
  await using store = createMemoryStore({ namespace: '' })
  const ends: (() => void)[] = []
  let running = 0
  await using _worker = await defineService({
    name: 'overdue',
    handlerTimeoutMs: 100,
    handlers: [
      onEvent(
        'Overdue',
        async () => {
          running += 1
          await new Promise<void>((resolve) => void ends.push(resolve))
          running -= 1
        },
        { once: { store, lockMs: 60_000 } },
      ),
    ],
  }).start({ ...QUIET, urls: [url] })
  await probe.event('Overdue', 1, { messageId: 'm' })
  await expect.poll(() => ends.length).toBe(1)
  // it has failed, and waits beside the lock
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  expect(running).toBe(1)
  expect(ends).toHaveLength(1)
  ends[0]?.()
  await expect.poll(() => ends.length).toBe(2)
  await dead.next()
  expect(running).toBe(1)
  ends[1]?.()
})

test('a message that was handled before says nothing of the outage that holds the others back', async ({
  url,
  probe,
  dead,
}) => {
  await using store = createMemoryStore({ namespace: '' })
  await store.set('done:steady:before', true)
  const records = new Records()
  await using _worker = await defineService({
    name: 'steady',
    outageBrake: { afterFailures: 2, maxDelayMs: 50 },
    prefetch: 20,
    handlers: [
      onEvent(
        'Steady',
        () => {
          throw new Error('down')
        },
        { once: { store } },
      ),
    ],
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  for (let n = 0; n < 4; n++) await probe.event('Steady', n, { messageId: `m${n}` })
  await expect.poll(() => records.of('EMERGENCY').some((text) => text.includes('in a row'))).toBe(true)
  for (let n = 0; n < 4; n++) await probe.event('Steady', n, { messageId: 'before' })
  await expect.poll(() => records.of('DEBUG').filter((text) => text.includes('was handled before')).length).toBe(4)
  expect(records.of('NOTICE')).toEqual([])
  expect(dead.size).toBe(0)
})
