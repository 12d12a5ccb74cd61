/** Waiting by a clock, and which clocks are taken. */
import { type Clock, defineService, InvalidSettingError } from 'eventail'
import { createMemoryStore } from 'eventail/store'
import { TestClock } from '../../src/testing/test-clock.ts'
import { SYSTEM_CLOCK } from '../../src/time/clock.ts'
import { pauseBy } from '../../src/time/pause.ts'
import { afterEach, expect, test, vi } from 'vitest'

const DAY_MS = 86_400_000

afterEach(() => {
  vi.useRealTimers()
})

/** Whether it has ended, as soon as all that runs now has. */
async function hasEnded(promise: Promise<void>): Promise<boolean> {
  let ended = false
  void promise.then(() => (ended = true))
  await new Promise((resolve) => setImmediate(resolve))
  return ended
}

test('a pause ends with its time or with the signal, and leaves no timer behind', async () => {
  const clock = new TestClock(0)
  const stop = new AbortController()
  const long = pauseBy(clock, 1_000, stop.signal)
  const short = pauseBy(clock, 10, stop.signal)
  while (clock.goOn(10));
  expect([await hasEnded(short), await hasEnded(long)]).toEqual([true, false])
  stop.abort()
  expect(await hasEnded(long)).toBe(true)
  expect(clock.pending).toBe(0)
  expect(await hasEnded(pauseBy(clock, 1_000, stop.signal))).toBe(true)
})

test('a pause of no time is none, also where the clock stands still', async () => {
  expect(await hasEnded(pauseBy(new TestClock(0), -1, new AbortController().signal))).toBe(true)
})

test('the time of the system is that of the calendar, and goes on', () => {
  const before = SYSTEM_CLOCK.now()
  // the calendar may have been set right since the process began
  expect(Math.abs(before - Date.now())).toBeLessThan(60_000)
  expect(SYSTEM_CLOCK.now()).toBeGreaterThanOrEqual(before)
})

test('timers of tests that are due at the same time are called in the order in which they were set', () => {
  const clock = new TestClock(0)
  const called: string[] = []
  clock.after(10, () => called.push('one'))
  clock.every(5, () => called.push('each'))
  clock.after(10, () => called.push('two'))
  while (clock.goOn(10));
  // what is called again is set anew
  expect(called).toEqual(['each', 'one', 'two', 'each'])
})

test('a timer of the system waits for longer than one of Node can, and can be cancelled all the while', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const called: string[] = []
  SYSTEM_CLOCK.after(60 * DAY_MS, () => called.push('kept'))
  const cancel = SYSTEM_CLOCK.after(60 * DAY_MS, () => called.push('cancelled'))
  vi.advanceTimersByTime(60 * DAY_MS - 1)
  expect(called).toEqual([])
  cancel()
  vi.advanceTimersByTime(1)
  expect([called, vi.getTimerCount()]).toEqual([['kept'], 0])
})

test.each([
  ['an object that lacks a function', { now: Date.now, after: () => () => {} }, "one without the function 'every'"],
  ['a function', Date.now, 'not a function'],
] as const)('%s is no clock', async (_what, clock, problem) => {
  const given = { clock: clock as unknown as Clock }
  await expect(defineService({ name: 'timed' }).start(given)).rejects.toThrow(problem)
  expect(() => createMemoryStore({ namespace: 'n:', ...given })).toThrow(InvalidSettingError)
})
