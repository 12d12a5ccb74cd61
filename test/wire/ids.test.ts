import { expect, test } from 'vitest'
import { newId } from '../../src/wire/ids.ts'

test('ids are UUIDv7, all different, and later ones sort after earlier ones', async () => {
  const start = Date.now()
  const first = newId()
  const ids = Array.from({ length: 10_000 }, newId)
  expect(new Set([first, ...ids]).size).toBe(10_001)
  expect(first).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
  const millis = Number.parseInt(first.replaceAll('-', '').slice(0, 12), 16)
  expect(millis).toBeGreaterThanOrEqual(start)
  expect(millis).toBeLessThanOrEqual(Date.now())
  await expect.poll(() => newId() > first).toBe(true)
})
