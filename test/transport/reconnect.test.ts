import { expect, test } from 'vitest'
import { AccessRefusedError, ConnectionError, TopologyError } from '../../src/errors.ts'
import { Backoff, pause } from '../../src/transport/reconnect.ts'

const lost = new ConnectionError('lost')

function backoffAt(random: number): { backoff: Backoff; pass: (ms: number) => void } {
  let now = 0
  return {
    backoff: new Backoff(
      () => now,
      () => random,
    ),
    pass: (ms) => (now += ms),
  }
}

test('a session that consumed is followed at once by the next', () => {
  const { backoff } = backoffAt(1)
  expect(backoff.next(60_000, lost)).toBe(0)
})

test('each failure waits a second longer, thirty at most, with jitter', () => {
  const { backoff } = backoffAt(1)
  const waits = Array.from({ length: 40 }, () => backoff.next(undefined, lost))
  expect(waits.slice(0, 4)).toEqual([1000, 2000, 3000, 4000])
  expect(waits.at(-1)).toBe(30_000)
  expect(backoffAt(0).backoff.next(undefined, lost)).toBe(750)
})

test('a broker that takes us and drops us at once is not hammered', () => {
  const { backoff, pass } = backoffAt(1)
  let attempts = 0
  for (let elapsed = 0; elapsed < 60_000; attempts++) {
    const wait = backoff.next(5, lost)
    pass(wait + 5)
    elapsed += wait + 5
  }
  expect(attempts).toBeLessThanOrEqual(20)
})

test('a healthy session makes the failures before it forgotten', () => {
  const { backoff, pass } = backoffAt(1)
  for (let i = 0; i < 10; i++) backoff.next(undefined, lost)
  pass(60_000)
  expect(backoff.next(20_000, lost)).toBe(0)
  expect(backoff.next(undefined, lost)).toBe(1000)
})

test('refused credentials are tried six times a minute at most', () => {
  const { backoff } = backoffAt(0)
  expect(backoff.next(undefined, new AccessRefusedError('no'))).toBeGreaterThanOrEqual(10_000)
})

test('so is a queue that exists with other arguments, and neither holds up the other URLs', () => {
  const { backoff } = backoffAt(0)
  expect(backoff.next(undefined, new AccessRefusedError('no'), false)).toBe(750)
  expect(backoff.next(undefined, new TopologyError('no'), true)).toBeGreaterThanOrEqual(10_000)
})

test('a session that worked for a moment makes a long outage before it nearly forgotten', () => {
  const { backoff, pass } = backoffAt(1)
  for (let i = 0; i < 20; i++) backoff.next(undefined, lost)
  pass(60_000)
  expect(backoff.next(3000, lost)).toBe(0)
  pass(3000)
  expect(backoff.next(3000, lost)).toBeLessThan(5000)
})

test('a pause ends at once when it is aborted', async () => {
  const controller = new AbortController()
  const paused = pause(60_000, controller.signal)
  controller.abort()
  await paused
  await pause(60_000, controller.signal)
})
