/** A broker that blocks publishers, of its own: the services on it are not ready. */
import { defineService, onEvent } from 'eventail'
import { startHealthServer } from 'eventail/health'
import { expect, test } from 'vitest'
import { startBroker } from '../../dev/broker.mjs'
import { CapturedStderr } from '../bus/watched.ts'

test('while a memory alarm blocks publishers a service is not ready, and metrics tell', async () => {
  using _stderr = new CapturedStderr()
  const broker = await startBroker()
  try {
    await using health = await startHealthServer({ port: 0, metrics: true })
    await using worker = await defineService({
      name: 'blocked',
      handlers: [onEvent('Any', () => {})],
    }).start({ urls: [broker.url], stderrLevel: 'NONE', health })
    const status = async (): Promise<number> => (await fetch(`${health.url}/readyz`)).status
    const figures = async (): Promise<string> => (await fetch(`${health.url}/metrics`)).text()
    expect(await status()).toBe(200)
    expect(await figures()).toContain('\neventail_publishers_blocked{service="blocked"} 0\n')
    const published: Promise<void>[] = []
    try {
      await broker.evaluate('ok = vm_memory_monitor:set_vm_memory_high_watermark(0.00001)')
      // the broker tells a connection when it publishes, and may take one or two before
      const afterPublishing = (): Promise<number> => {
        published.push(worker.publish('Waiting', 1))
        return status()
      }
      await expect.poll(afterPublishing, { timeout: 30_000 }).toBe(503)
      expect(worker.health()).toEqual({
        service: 'blocked',
        state: 'ready',
        isLive: true,
        isReady: false,
        problems: [
          expect.stringMatching(
            /^the broker blocks publishers \(.*memory.*\): what it publishes waits until the broker can take it$/,
          ),
        ],
      })
      expect(await figures()).toContain('\neventail_publishers_blocked{service="blocked"} 1\n')
      expect(await figures()).toContain('\neventail_ready{service="blocked"} 0\n')
      expect(await figures()).toMatch(/\neventail_publishes_pending\{service="blocked"\} [1-9]/)
    } finally {
      await broker.evaluate('ok = vm_memory_monitor:set_vm_memory_high_watermark(0.4)')
    }
    await Promise.all(published)
    await expect.poll(status).toBe(200)
    expect(await figures()).toContain('\neventail_publishers_blocked{service="blocked"} 0\n')
  } finally {
    await broker.dispose()
  }
}, 120_000)
