/** Each row of docs/faults.md names tests that exist. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { hasTest, textOf } from './documents.ts'

const rows = textOf('docs/faults.md')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| row |'))

test('each fault names tests that exist', () => {
  const wrong: string[] = []
  for (const row of rows) {
    const named = [...row.matchAll(/`([\w./-]+\.(?:test|chaos)\.ts) › ([^`]+)`/g)]
    if (named.length === 0) wrong.push(`no test in: ${row}`)
    for (const [, file = '', name = ''] of named) {
      if (!hasTest(join('test', file), name)) wrong.push(`${file} › ${name}`)
    }
  }
  expect(rows.length).toBeGreaterThan(30)
  expect(wrong).toEqual([])
})

test('each row stands once', () => {
  const numbers = rows.flatMap((row) => /^\| (F\d+) \|/.exec(row)?.[1] ?? [])
  expect(numbers.filter((number, index) => numbers.indexOf(number) !== index)).toEqual([])
})
