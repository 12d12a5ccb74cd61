import { expect, test } from 'vitest'
import { matches } from '../../src/topology/match.ts'

test.each([
  ['a.b', 'a.b', true],
  ['a.b', 'a.c', false],
  ['a.*', 'a.b', true],
  ['a.*', 'a', false],
  ['a.*', 'a.b.c', false],
  ['a.#', 'a', true],
  ['a.#', 'a.b.c', true],
  ['#', '', true],
  ['#', 'a.b.c', true],
  ['*', '', false],
  ['#.c', 'c', true],
  ['#.c', 'a.b.c', true],
  ['#.c', 'a.b', false],
  ['a.#.z', 'a.z', true],
  ['a.#.z', 'a.b.z.c', false],
  ['#.a.#', 'b.a.c', true],
  ['*.#.*', 'a', false],
  ['*.#.*', 'a.b', true],
])('pattern %s with key %j: %s', (pattern, key, expected) => {
  expect(matches(pattern, key)).toBe(expected)
})

test('a pattern made to be slow is matched in time linear in its length', () => {
  const pattern = Array.from({ length: 60 }, () => '#.a').join('.')
  const key = `${'a.'.repeat(120)}b`
  const start = performance.now()
  expect(matches(pattern, key)).toBe(false)
  expect(performance.now() - start).toBeLessThan(1000)
})
