import { setTimeout as delay } from 'node:timers/promises'
import { defineService } from 'eventail'
import { expect } from 'vitest'
import { test } from '../bus/bus.ts'

test('messages that the broker refuses all at once, with one nack, are all sent again', async ({ url, probe }) => {
  await probe.declareQueue('small', { arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } })
  await probe.bind('small', 'events', 'Many')
  await using worker = await defineService({ name: 'many', publishRetryDelayMs: 20 }).start({
    urls: [url],
    stderrLevel: 'NONE',
  })
  let confirmed = 0
  for (let n = 0; n < 500; n++) void worker.publish('Many', n).then(() => (confirmed += 1))
  await expect.poll(() => confirmed).toBeGreaterThan(0)
  // refused again and again: now and then the broker answers several with one nack
  await delay(1000)
  expect(worker.pendingPublishes).toBeGreaterThan(100)
  await probe.deleteQueue('small')
  // sooner than the time after which confirms are taken for lost
  await expect.poll(() => worker.pendingPublishes).toBe(0)
  expect(confirmed).toBe(500)
})
