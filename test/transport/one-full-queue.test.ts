/** A message that one of its queues refuses: the others get a copy with each try. */
import { defineService } from 'eventail'
import { expect } from 'vitest'
import { test } from '../bus/bus.ts'
import { Records } from '../bus/watched.ts'

const RETRY_MS = 300

test('the queues that take a message get no more than one copy of it in the time between two tries', async ({
  url,
  probe,
}) => {
  await probe.declareQueue('full', { arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } })
  await probe.bind('full', 'events', 'Copied')
  await probe.event('Copied', 'fills it')
  const records = new Records()
  const copies = await probe.listen('events', 'Copied')
  await using worker = await defineService({ name: 'copier', publishRetryDelayMs: RETRY_MS }).start({
    urls: [url],
    stderrLevel: 'NONE',
    onLog: records.onLog,
  })
  const began = performance.now()
  void worker.publish('Copied', 1)
  await expect.poll(() => copies.size).toBe(4)
  // the first at once, and each other one a time later
  expect(performance.now() - began).toBeGreaterThanOrEqual(3 * RETRY_MS)
  expect(new Set(copies.received.map(({ properties }) => String(properties.messageId))).size).toBe(1)
  // once a minute
  expect(records.of('ERROR')).toEqual([expect.stringContaining(`are sent again after ${RETRY_MS} ms`)])
  await probe.deleteQueue('full')
  await expect.poll(() => worker.pendingPublishes).toBe(0)
  expect(copies.size).toBeLessThanOrEqual(6)
})
