/** Very many messages wait when the workers are back: their memory, their rate, and how they share. */
import { expect, test } from 'vitest'
import { startBroker } from '../../dev/broker.mjs'
import { runBacklog } from './backlog.ts'

test('100,000 messages that wait for a reconnect of five workers take little memory, are handled at once, and shared', async () => {
  await using broker = await startBroker()
  const report = await runBacklog({ url: broker.url, messages: 100_000, workers: 5 })
  expect(report.rssMiB).toBeLessThanOrEqual(64)
  // in the best of the first five seconds
  expect(report.bestRate).toBeGreaterThan(report.normalRate / 2)
  expect(report.shares.filter((share) => Math.abs(share - 1) > 0.3)).toEqual([])
}, 240_000)
