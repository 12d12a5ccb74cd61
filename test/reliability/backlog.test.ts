/** The short version of many messages that wait for a reconnect: see backlog.chaos.ts for the long one. */
import { expect } from 'vitest'
import { test } from '../bus/bus.ts'
import { runBacklog } from './backlog.ts'

test('a backlog that waits for a reconnect takes little memory, and all workers have their part of it', async ({
  url,
}) => {
  const report = await runBacklog({ url, messages: 20_000, workers: 3 })
  // a fifth of the messages of the long version may take a fifth of its memory
  expect(report.rssMiB).toBeLessThanOrEqual(13)
  expect(Math.min(...report.shares)).toBeGreaterThan(0.4)
  expect(report.bestRate).toBeGreaterThan(1000)
}, 120_000)
