/** Handlers that never end: their places are free when their time is up. */
import { defineService, onEvent } from 'eventail'
import { expect } from 'vitest'
import { jsonOf, test } from '../bus/bus.ts'
import { Records } from '../bus/watched.ts'

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

test('of a thousand messages a hundred hang: the others are handled, and those are dead after two tries', async ({
  url,
  probe,
  dead,
}) => {
  const handled = new Set<unknown>()
  const hung: unknown[] = []
  const records = new Records()
  const service = defineService({
    name: 'hung',
    prefetch: 50,
    handlerTimeoutMs: 100,
    handlers: [
      onEvent('Hung.Work', ({ payload }) => {
        if (Number(payload) % 10 !== 0) return void handled.add(payload)
        hung.push(payload)
        return new Promise(() => {})
      }),
    ],
  })
  await (await service.start({ urls: [url], stderrLevel: 'NONE' })).stop()
  await Promise.all(upTo(1000).map((n) => probe.event('Hung.Work', n)))
  await using _worker = await service.start({
    urls: [url],
    stderrLevel: 'NONE',
    format: 'json',
    drainTimeoutMs: 0,
    onLog: records.onLog,
  })
  await expect.poll(() => dead.size).toBe(100)
  expect(handled.size).toBe(900)
  expect(hung).toHaveLength(200)
  expect(dead.received.map(jsonOf).every((payload) => Number(payload) % 10 === 0)).toBe(true)
  expect(records.of('ALERT')).toHaveLength(200)
  await expect.poll(() => probe.counts('hung.events')).toEqual({ messages: 0, consumers: 1 })
})
