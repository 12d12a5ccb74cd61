/** A network that is slow, and nothing else: things take longer. */
import { defineService, onEvent } from 'eventail'
import { expect } from 'vitest'
import { test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'
import { outcomeOf, Records } from '../bus/watched.ts'

test('a line of 20 kB a second with 100 ms of delay loses no connection, although heartbeats wait behind messages', async ({
  url,
  probe,
}) => {
  await using proxy = await Proxy.start(Number(new URL(url).port))
  const records = new Records()
  const handled: number[] = []
  await using worker = await defineService({
    name: 'slow-line',
    heartbeatMs: 1000,
    handlers: [onEvent('Slow.In', ({ payload }) => void handled.push(String(payload).length))],
  }).start({ urls: [proxy.through(url)], stderrLevel: 'NONE', format: 'json', onLog: records.onLog })
  proxy.delay(100)
  proxy.slow(20_000)
  const began = performance.now()
  // some two seconds each way
  for (let n = 0; n < 4; n++) await probe.event('Slow.In', 'x'.repeat(10_000))
  const outcomes = [1, 2, 3, 4].map(() => outcomeOf(worker.publish('Slow.Out', 'x'.repeat(10_000))))
  expect(await Promise.all(outcomes)).toEqual(['ok', 'ok', 'ok', 'ok'])
  await expect.poll(() => handled).toHaveLength(4)
  expect(performance.now() - began).toBeGreaterThan(1500)
  expect(proxy.opened).toBe(2)
  expect(records.of('WARNING')).toEqual([])
})
