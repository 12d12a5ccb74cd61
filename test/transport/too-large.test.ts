/** Keys, properties and headers that are too large or of no type that AMQP has: refused before anything is sent. */
import { defineService, InvalidSettingError, onEvent } from 'eventail'
import { expect } from 'vitest'
import { test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'

test('what AMQP cannot carry is refused at once, and neither a channel nor another message suffers', async ({
  url,
  probe,
}) => {
  await using proxy = await Proxy.start(Number(new URL(url).port))
  const arrived = await probe.listen('events', 'Fine')
  const dropped: unknown[] = []
  let readies = 0
  await using worker = await defineService({
    name: 'oversized',
    handlers: [onEvent('Any', () => {})],
    hooks: { onReady: () => void (readies += 1) },
  }).start({
    urls: [proxy.through(url)],
    stderrLevel: 'NONE',
    onLog: ({ level, short }) => level === 'ERROR' && dropped.push(short),
  })
  const wrong: readonly (() => Promise<unknown>)[] = [
    () => worker.publish('k'.repeat(256), 1),
    () => worker.publish('Fine', 1, { headers: { large: 'x'.repeat(70_000) } }),
    () => worker.publish('Fine', 1, { headers: { ['n'.repeat(256)]: 1 } }),
    () => worker.publish('Fine', 1, { headers: { many: Array.from({ length: 20_000 }, () => 'four') } }),
    () => worker.publish('Fine', 1, { headers: { wrong: (() => {}) as never } }),
    () => worker.publish('Fine', 1, { conversationId: 'c'.repeat(70_000) }),
    () => worker.sendCommand('oversized.Do', 1, { correlationId: 'c'.repeat(256) }),
    () => worker.sendCommand('oversized.Do', 1, { replyTo: 'r'.repeat(256) }),
  ]
  const fine: Promise<unknown>[] = []
  for (const attempt of wrong) {
    fine.push(worker.publish('Fine', fine.length))
    const error: unknown = await attempt().catch((e: unknown) => e)
    expect([String(attempt), error]).toEqual([String(attempt), expect.any(InvalidSettingError)])
  }
  await Promise.all(fine)
  await expect.poll(() => arrived.size).toBe(wrong.length)
  // the fields of a GELF record have no such limits
  worker.log.info('large', { fields: { large: 'x'.repeat(70_000) } })
  await worker.publish('Fine', 'last')
  expect([proxy.opened, readies, dropped]).toEqual([2, 1, []])
})
