/** Handlers that block the event loop for longer than the broker waits for a sign of life. */
import { defineService, onEvent } from 'eventail'
import { expect } from 'vitest'
import { jsonOf, test } from '../bus/bus.ts'
import { CapturedStderr, Records } from '../bus/watched.ts'

const QUIET = { stderrLevel: 'EMERGENCY', format: 'json', heartbeatMs: 1000 } as const
/** The broker closes a connection that was silent for two heartbeats, three at most. */
const BLOCK_MS = 3500

function block(ms = BLOCK_MS): void {
  for (const until = performance.now() + ms; performance.now() < until;);
}

test('a handler that blocks the event loop is named, and its message is dead after two deliveries', async ({
  url,
  probe,
  dead,
}) => {
  using _stderr = new CapturedStderr()
  const records = new Records()
  const tries: unknown[] = []
  await using worker = await defineService({
    name: 'blocking',
    handlers: [
      onEvent('Block', ({ payload }) => {
        tries.push(payload)
        block()
      }),
      onEvent('Work', ({ payload }) => void tries.push(payload)),
    ],
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  // Python sets no message ids
  await probe.event('Block', 'blocked')
  expect(jsonOf(await dead.next())).toBe('blocked')
  expect(tries).toEqual(['blocked', 'blocked'])
  const named = expect.stringMatching(
    /^the handler of 'Block' blocked the event loop for 3\.\d s, and after 2 s without a sign of life the broker may drop/,
  )
  expect(records.of('ALERT')).toEqual([named, named])
  expect(records.of('EMERGENCY')).toEqual(['Giving up on Block'])
  await probe.event('Work', 'after')
  await expect.poll(() => tries).toContain('after')
  await expect.poll(() => probe.counts('blocking.events')).toEqual({ messages: 0, consumers: 1 })
  expect(worker.state).toBe('ready')
}, 40_000)

test('messages that are in hand beside one that blocks after an await are spared', async ({ url, probe, dead }) => {
  using _stderr = new CapturedStderr()
  const records = new Records()
  const done: unknown[] = []
  await using _worker = await defineService({
    name: 'beside',
    prefetch: 10,
    handlers: [
      onEvent('Block', async () => {
        await new Promise((resolve) => setTimeout(resolve, 200))
        block()
      }),
      onEvent('Slow', async ({ payload }) => {
        await new Promise((resolve) => setTimeout(resolve, 400))
        done.push(payload)
      }),
    ],
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  for (const n of [1, 2]) await probe.event('Slow', n, { messageId: `slow-${n}` })
  await probe.event('Block', 'blocked', { messageId: 'block' })
  for (const n of [3, 4]) await probe.event('Slow', n, { messageId: `slow-${n}` })
  expect(jsonOf(await dead.next({ timeoutMs: 20_000 }))).toBe('blocked')
  await expect.poll(() => probe.counts('beside.events')).toEqual({ messages: 0, consumers: 1 })
  expect(new Set(done)).toEqual(new Set([1, 2, 3, 4]))
  expect(dead.size).toBe(0)
  expect(records.of('ALERT')[0]).toMatch(/^one of the handlers of '.*' blocked the event loop/)
}, 40_000)

test('with one attempt only, a message that is in hand beside one that blocks is spared, too', async ({
  url,
  probe,
  dead,
}) => {
  using _stderr = new CapturedStderr()
  const done: unknown[] = []
  await using _worker = await defineService({
    name: 'single',
    retry: { attempts: 1 },
    handlers: [
      onEvent('Block', async () => {
        await new Promise((resolve) => setTimeout(resolve, 200))
        block()
      }),
      onEvent('Slow', async ({ payload }) => {
        await new Promise((resolve) => setTimeout(resolve, 400))
        done.push(payload)
      }),
    ],
  }).start({ ...QUIET, urls: [url] })
  await probe.event('Slow', 'spared', { messageId: 'slow' })
  await probe.event('Block', 'blocked', { messageId: 'block' })
  expect(jsonOf(await dead.next({ timeoutMs: 20_000 }))).toBe('blocked')
  await expect.poll(() => probe.counts('single.events')).toEqual({ messages: 0, consumers: 1 })
  expect(done).toContain('spared')
  expect(dead.size).toBe(0)
}, 40_000)

test('handlers that block the event loop for too long only together lose no connection', async ({ url, probe }) => {
  using _stderr = new CapturedStderr()
  const records = new Records()
  const tries: unknown[] = []
  // the broker waits for four seconds at least: each is short enough, two are not
  const busy = defineService({
    name: 'together',
    handlers: [
      onEvent('Compute', ({ payload }) => {
        tries.push(payload)
        block(2500)
      }),
    ],
  })
  await (await busy.start({ ...QUIET, heartbeatMs: 2000, urls: [url] })).stop()
  // they wait, and are delivered together
  for (const n of [1, 2, 3]) await probe.event('Compute', n)
  await using _worker = await busy.start({ ...QUIET, heartbeatMs: 2000, urls: [url], onLog: records.onLog })
  await expect.poll(() => tries, { timeout: 20_000 }).toHaveLength(3)
  await expect.poll(() => probe.counts('together.events')).toEqual({ messages: 0, consumers: 1 })
  expect(tries).toEqual([1, 2, 3])
  expect(records.of('WARNING', 'ALERT').filter((text) => /blocked|connection lost/.test(text))).toEqual([])
}, 40_000)
