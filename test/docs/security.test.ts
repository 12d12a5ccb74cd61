/** Each threat of SECURITY.md names tests that exist. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { hasTest, textOf } from './documents.ts'

const rows = textOf('SECURITY.md')
  .split('\n')
  .filter((line) => /^\| S\d+ \|/.test(line))

test('each threat names tests that exist, and none is left out but that of a console', () => {
  const wrong: string[] = []
  for (const row of rows) {
    const named = [...row.matchAll(/`([\w./-]+\.test\.ts) › ([^`]+)`/g)]
    if (named.length === 0) wrong.push(`no test in: ${row}`)
    for (const [, file = '', name = ''] of named) {
      if (!hasTest(join('test', file), name)) wrong.push(`${file} › ${name}`)
    }
  }
  expect(wrong).toEqual([])
  const numbers = rows.map((row) => Number(/\d+/.exec(row)?.[0]))
  expect(numbers).toEqual(Array.from({ length: 20 }, (_, index) => index + 1).filter((number) => number !== 14))
})
