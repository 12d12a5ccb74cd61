/** When a handler that is held back may be tried, without waiting for it. */
import { expect, test } from 'vitest'
import { Brake } from '../../src/service/brake.ts'
import type { Handler } from '../../src/service/handlers.ts'
import { type Clock, SYSTEM_CLOCK } from '../../src/time/clock.ts'

const handler = { kind: 'event', key: 'Work' } as Handler
const signal = (): AbortSignal => new AbortController().signal

/** A brake whose pauses are over at once, and how long they would have been, in tenths of a second. */
function hasty(options: { afterFailures: number; maxDelayMs: number }) {
  const pauses: number[] = []
  const clock: Clock = {
    ...SYSTEM_CLOCK,
    after: (ms, callback) => {
      pauses.push(Math.round(ms / 100))
      queueMicrotask(callback)
      return () => {}
    },
  }
  return { brake: new Brake(options, clock, { write: () => {} }), pauses }
}

test('pauses grow with the tries that fail, however many were running when it took hold', async () => {
  const { brake, pauses } = hasty({ afterFailures: 3, maxDelayMs: 6_000 })
  const running = await Promise.all(Array.from({ length: 20 }, () => brake.turn(handler, signal)))
  for (const turn of running) turn?.end('failed')
  for (let n = 0; n < 5; n++) (await brake.turn(handler, signal))?.end('failed')
  expect(pauses).toEqual([10, 20, 40, 60, 60])
})

test('one is tried at a time, also when an earlier try ends after the handler was released and held back again', async () => {
  const { brake } = hasty({ afterFailures: 1, maxDelayMs: 1_000 })
  const [first, second, third] = await Promise.all([1, 2, 3].map(() => brake.turn(handler, signal)))
  first?.end('failed')
  const early = await brake.turn(handler, signal)
  second?.end('succeeded')
  third?.end('failed')
  const current = await brake.turn(handler, signal)
  early?.end('neither')
  let hasBegun = false
  const next = brake.turn(handler, signal).then(() => {
    hasBegun = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  expect(hasBegun).toBe(false)
  current?.end('failed')
  await next
})
