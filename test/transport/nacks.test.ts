import { setTimeout as delay } from 'node:timers/promises'
import { defineService } from 'eventail'
import { expect } from 'vitest'
import { test } from '../bus/bus.ts'
import { outcomeOf, Records } from '../bus/watched.ts'

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

test('a stop waits for a message that the broker refuses, also when its channel is replaced', async ({
  url,
  probe,
}) => {
  await probe.declareQueue('shut', { arguments: { 'x-max-length': 0, 'x-overflow': 'reject-publish' } })
  await probe.bind('shut', 'events', 'Refused')
  const records = new Records()
  const worker = await defineService({ name: 'patient', publishRetryDelayMs: 1_000 }).start({
    urls: [url],
    stderrLevel: 'NONE',
    onLog: records.onLog,
  })
  const outcome = outcomeOf(worker.publish('Refused', 1))
  await expect.poll(() => records.of('ERROR')).toHaveLength(1)
  const stopping = worker.stop()
  // it is sent again after a second, on a new channel, and refused again
  expect(await Promise.race([outcome, delay(1_500, 'waits')])).toBe('waits')
  await probe.deleteQueue('shut')
  expect(await outcome).toBe('ok')
  await stopping
})
