/** How much a worker takes on at a time: prefetch, per queue, and the limit on handlers that run. */
import { defineService, onCommand, onEvent } from 'eventail'
import { expect } from 'vitest'
import { test } from '../bus/bus.ts'
import { CapturedStderr, gate } from '../bus/watched.ts'

test('no more handlers run at a time than concurrency allows, in the order of arrival', async ({ url, probe }) => {
  const gates = Array.from({ length: 6 }, () => gate())
  const started: number[] = []
  let running = 0
  let most = 0
  const two = defineService({
    name: 'two',
    prefetch: 10,
    concurrency: 2,
    handlers: [
      onEvent('Work', async ({ payload }) => {
        started.push(Number(payload))
        running += 1
        most = Math.max(most, running)
        await gates[Number(payload)]?.opened
        running -= 1
      }),
    ],
  })
  await using _worker = await two.start({ urls: [url], stderrLevel: 'ERROR' })
  for (let n = 0; n < 6; n++) await probe.event('Work', n)
  // all six are in hand, and two of them run
  await expect.poll(() => probe.counts('two.events')).toEqual({ messages: 0, consumers: 1 })
  await expect.poll(() => started).toEqual([0, 1])
  gates[1]?.open()
  await expect.poll(() => started).toEqual([0, 1, 2])
  for (const { open } of gates) open()
  await expect.poll(() => started).toEqual([0, 1, 2, 3, 4, 5])
  await expect.poll(() => running).toBe(0)
  expect(most).toBe(2)
})

test('a handler that has ended frees its place, however long the confirms of its publishes take', async ({
  url,
  probe,
  management,
}) => {
  await management.setPolicy('full', '^full$', { 'max-length': 1, overflow: 'reject-publish' })
  await probe.declareQueue('full')
  const refused = (): Promise<boolean> =>
    probe.publish({ routingKey: 'full' }).then(
      () => false,
      () => true,
    )
  await expect.poll(refused, { timeout: 5000 }).toBe(true)
  await probe.bind('full', 'events', 'Held')
  const ended: unknown[] = []
  const one = defineService({
    name: 'one',
    prefetch: 10,
    concurrency: 1,
    publishRetryDelayMs: 50,
    drainTimeoutMs: 1000,
    handlers: [
      onEvent('Work', ({ payload, publish }) => {
        void publish('Held', payload)
        ended.push(payload)
      }),
    ],
  })
  await using worker = await one.start({ urls: [url], stderrLevel: 'NONE' })
  for (let n = 0; n < 3; n++) await probe.event('Work', n)
  await expect.poll(() => ended).toEqual([0, 1, 2])
  // the broker may let one more in than the policy says
  expect(worker.pendingPublishes).toBeGreaterThan(0)
  await probe.consume('full')
  await expect.poll(() => worker.pendingPublishes).toBe(0)
})

test('prefetch limits what a worker holds of each queue, and what it holds counts until it is settled', async ({
  url,
  probe,
}) => {
  const open = gate()
  let events = 0
  let commands = 0
  const holder = defineService({
    name: 'holder',
    prefetch: 2,
    handlers: [
      onEvent('Hold', () => {
        events += 1
        return open.opened
      }),
      onCommand('Hold', () => {
        commands += 1
        return open.opened
      }),
    ],
  })
  await using _worker = await holder.start({ urls: [url], stderrLevel: 'NONE' })
  for (let n = 0; n < 5; n++) {
    await probe.event('Hold')
    await probe.command('holder.Hold', null, { headers: { conversation_id: 'c1' } })
  }
  await expect.poll(() => [events, commands]).toEqual([2, 2])
  expect(await probe.counts('holder.events')).toEqual({ messages: 3, consumers: 1 })
  expect(await probe.counts('holder.commands')).toEqual({ messages: 3, consumers: 1 })
  open.open()
  await expect.poll(() => [events, commands]).toEqual([5, 5])
})

test('three messages of a queue are handled at the same time by default, and workers share the rest', async ({
  url,
  probe,
}) => {
  const open = gate()
  const byWorker = [0, 0]
  const workers: AsyncDisposable[] = []
  for (const index of [0, 1]) {
    const shared = defineService({
      name: 'shared',
      handlers: [
        onEvent('Share', () => {
          byWorker[index] = (byWorker[index] ?? 0) + 1
          return open.opened
        }),
      ],
    })
    workers.push(await shared.start({ urls: [url], stderrLevel: 'ERROR' }))
  }
  for (let n = 0; n < 8; n++) await probe.event('Share', n)
  await expect.poll(() => byWorker).toEqual([3, 3])
  expect(await probe.counts('shared.events')).toEqual({ messages: 2, consumers: 2 })
  open.open()
  await expect.poll(() => byWorker.reduce((sum, count) => sum + count)).toBe(8)
  for (const worker of workers) await worker[Symbol.asyncDispose]()
})

test('a handler whose delivery was lost keeps its place until it ends', async ({ url, probe, management }) => {
  using _stderr = new CapturedStderr()
  const goOn = gate()
  let running = 0
  let most = 0
  const ended: unknown[] = []
  await using _worker = await defineService({
    name: 'single',
    concurrency: 1,
    handlers: [
      onEvent('One', async ({ payload }) => {
        running += 1
        most = Math.max(most, running)
        await goOn.opened
        running -= 1
        ended.push(payload)
      }),
    ],
  }).start({ urls: [url], stderrLevel: 'NONE' })
  await probe.event('One', 1)
  await expect.poll(() => running).toBe(1)
  await management.closeConnections('single')
  // the same message again, and no handler for it yet
  await expect.poll(() => probe.counts('single.events'), { timeout: 10_000 }).toEqual({ messages: 0, consumers: 1 })
  goOn.open()
  await expect.poll(() => ended).toEqual([1, 1])
  expect(most).toBe(1)
})
