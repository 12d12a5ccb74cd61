/** A consumer to which its broker delivers nothing any more, on a connection that is alive. */
import { setImmediate } from 'node:timers/promises'
import { defineService, onEvent } from 'eventail'
import { afterEach, beforeEach, expect, type MockInstance, vi } from 'vitest'
import { Dispatcher } from '../../src/service/dispatcher.ts'
import { ConsumeChannel } from '../../src/transport/consume-channel.ts'
import { test } from '../bus/bus.ts'
import { CapturedStderr, gate, Records } from '../bus/watched.ts'

// the broker's own answers are real: heartbeats, which would be missed in the time that is skipped, are off
const QUIET = { stderrLevel: 'EMERGENCY', format: 'json', heartbeatMs: 0, prefetch: 1 } as const
const BEAT_MS = 30_000

let looks: MockInstance<ConsumeChannel<string>['waitingIn']>

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  looks = vi.spyOn(ConsumeChannel.prototype, 'waitingIn')
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** Some time in which the queues are looked at, and the broker has answered. */
async function beats(count: number): Promise<void> {
  for (let beat = 0; beat < count; beat++) {
    vi.advanceTimersByTime(BEAT_MS)
    await Promise.allSettled(looks.mock.results.map(({ value }) => value as Promise<number>))
    await setImmediate()
  }
}

test('is replaced when messages wait and nothing comes, with a WARNING, and loses nothing', async ({ url, probe }) => {
  using _stderr = new CapturedStderr()
  const handled: unknown[] = []
  const records = new Records()
  await using worker = await defineService({
    name: 'forgotten',
    handlers: [onEvent('Forgotten', ({ payload }) => void handled.push(payload))],
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  await beats(3)
  expect(records.of('WARNING')).toEqual([])
  // a delivery that never arrives: the broker waits for its acknowledgement, and the worker for a delivery
  const accept = vi.spyOn(Dispatcher.prototype, 'accept').mockImplementationOnce(() => {})
  for (const n of [1, 2, 3]) await probe.event('Forgotten', n)
  await vi.waitFor(() => expect(accept).toHaveBeenCalled())
  await beats(4)
  await vi.waitFor(() => expect(handled).toEqual([1, 2, 3]), { timeout: 5000 })
  expect(records.of('WARNING')).toEqual([
    expect.stringMatching(
      /^connection lost: nothing comes from queue 'forgotten\.events', and 2 messages wait there: consuming begins anew/,
    ),
  ])
  await vi.waitFor(() => expect(worker.state).toBe('ready'))
})

test('is left alone while a message is in hand, however long that takes', async ({ url, probe }) => {
  const goOn = gate()
  const handled: unknown[] = []
  const records = new Records()
  await using _worker = await defineService({
    name: 'busy',
    handlers: [
      onEvent('Busy', async ({ payload }) => {
        await goOn.opened
        handled.push(payload)
      }),
    ],
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  for (const n of [1, 2, 3]) await probe.event('Busy', n)
  await beats(5)
  goOn.open()
  await vi.waitFor(() => expect(handled).toEqual([1, 2, 3]))
  expect(records.of('WARNING')).toEqual([])
})

test('is left in peace ever longer when a connection of its own brings nothing either: others come first', async ({
  url,
  probe,
}) => {
  using _stderr = new CapturedStderr()
  await probe.declareQueue('standby.events', { arguments: { 'x-single-active-consumer': true } })
  await probe.bind('standby.events', 'events', 'Standby')
  const goOn = gate()
  const service = defineService({
    name: 'standby',
    declare: 'nothing',
    handlers: [onEvent('Standby', () => goOn.opened)],
  })
  await using _active = await service.start({ ...QUIET, urls: [url] })
  const records = new Records()
  await using standby = await service.start({ ...QUIET, urls: [url], onLog: records.onLog })
  for (const n of [1, 2]) await probe.event('Standby', n)
  for (let beat = 0; beat < 14; beat++) {
    await vi.waitFor(() => expect(standby.state).toBe('ready'), { timeout: 15_000 })
    await beats(1)
  }
  // after 2 looks, and then after 4
  expect(records.of('WARNING')).toHaveLength(2)
  goOn.open()
}, 60_000)
