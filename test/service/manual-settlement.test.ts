/** Handlers that take charge of their messages: SETTLE_LATER, and ack or nack by hand. */
import { defineService, type EventContext, onCommand, onEvent, SETTLE_LATER } from 'eventail'
import { expect } from 'vitest'
import { jsonOf, test } from '../bus/bus.ts'
import { gate } from '../bus/watched.ts'

/** A service that keeps the events `Keep` in hand. What is not settled when it stops goes back to the queue. */
function keeper(name: string) {
  const kept: EventContext[] = []
  const service = defineService({
    name,
    prefetch: 20,
    drainTimeoutMs: 0,
    handlers: [
      onEvent('Keep', (context) => {
        kept.push(context)
        return SETTLE_LATER
      }),
    ],
  })
  return { service, kept }
}

test('a message that is settled later is still the broker’s until it is acknowledged', async ({ url, probe }) => {
  const { service, kept } = keeper('keeper')
  const worker = await service.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.event('Keep', 'acknowledged')
  await probe.event('Keep', 'kept')
  await expect.poll(() => kept.length).toBe(2)
  await kept[0]?.ack()
  await worker.stop()
  expect(await probe.counts('keeper.events')).toEqual({ messages: 1, consumers: 0 })
  expect(jsonOf(await (await probe.consume('keeper.events')).next())).toBe('kept')
})

test('nack sends a message to the dead letters, or back to the queue where it is asked to', async ({
  url,
  probe,
  dead,
}) => {
  const { service, kept } = keeper('refuser')
  await using _worker = await service.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.event('Keep', 1)
  await expect.poll(() => kept.length).toBe(1)
  await kept[0]?.nack({ requeue: true })
  await expect.poll(() => kept.map(({ metadata }) => metadata.redelivered)).toEqual([false, true])
  expect(dead.size).toBe(0)
  await kept[1]?.nack()
  expect(jsonOf(await dead.next())).toBe(1)
})

test('multiple is for the earlier messages that are in charge of themselves, and for no others', async ({
  url,
  probe,
  dead,
}) => {
  const kept: EventContext[] = []
  const busy = gate()
  let running = 0
  const mixed = defineService({
    name: 'mixed',
    prefetch: 20,
    drainTimeoutMs: 0,
    handlers: [
      onEvent('Keep', (context) => {
        kept.push(context)
        return SETTLE_LATER
      }),
      onEvent('Work', () => {
        running += 1
        return busy.opened
      }),
    ],
  })
  const worker = await mixed.start({ urls: [url], stderrLevel: 'NONE' })
  for (const [key, body] of [
    ['Keep', 0],
    ['Work', 'unfinished'],
    ['Keep', 2],
    ['Keep', 3],
    ['Keep', 4],
    ['Keep', 5],
  ] as const)
    await probe.event(key, body)
  await expect.poll(() => [kept.length, running]).toEqual([5, 1])
  await kept[1]?.ack({ multiple: true })
  await kept[3]?.nack({ multiple: true })
  expect([jsonOf(await dead.next()), jsonOf(await dead.next())]).toEqual([3, 4])
  await worker.stop()
  // neither the handler that runs nor the message after the last settled one
  const left = await probe.consume('mixed.events')
  expect([jsonOf(await left.next()), jsonOf(await left.next())]).toEqual(['unfinished', 5])
  expect([left.size, dead.size]).toEqual([0, 0])
  busy.open()
})

test('multiple reaches back over both queues of the worker', async ({ url, probe }) => {
  const kept: EventContext[] = []
  const both = defineService({
    name: 'both',
    drainTimeoutMs: 0,
    handlers: [
      onEvent('Keep', (context) => {
        kept.push(context)
        return SETTLE_LATER
      }),
      onCommand('Keep', async (context) => {
        await context.success('kept')
        kept.push(context)
        return SETTLE_LATER
      }),
    ],
  })
  const results = await probe.listen('commands', 'probe.Result')
  const worker = await both.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.command('both.Keep')
  await expect.poll(() => kept.length).toBe(1)
  await probe.event('Keep')
  await expect.poll(() => kept.length).toBe(2)
  await kept[1]?.ack({ multiple: true })
  await worker.stop()
  expect(await probe.counts('both.events')).toEqual({ messages: 0, consumers: 0 })
  expect(await probe.counts('both.commands')).toEqual({ messages: 0, consumers: 0 })
  expect((await results.next()).properties.headers).toMatchObject({ status: 'success' })
  expect(results.size).toBe(0)
})

test('a handler may settle its message itself and then return: it is settled once', async ({ url, probe, dead }) => {
  const seen: unknown[] = []
  const early = defineService({
    name: 'early',
    prefetch: 1,
    handlers: [
      onEvent('Early', async ({ payload, ack, nack }) => {
        if (payload === 'ack') await ack()
        if (payload === 'nack') await nack()
        seen.push(payload)
      }),
    ],
  })
  await using _worker = await early.start({ urls: [url], stderrLevel: 'NONE' })
  for (const payload of ['ack', 'nack', 'none']) await probe.event('Early', payload)
  expect(jsonOf(await dead.next())).toBe('nack')
  await expect.poll(() => seen).toEqual(['ack', 'nack', 'none'])
  await expect.poll(() => probe.counts('early.events')).toEqual({ messages: 0, consumers: 1 })
  expect(dead.size).toBe(0)
})
