/** Each guarantee of docs/protocol.md names tests that exist. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { hasTest, textOf } from './documents.ts'

const lines = textOf('docs/protocol.md').split('\n')

/** The rows of the tables of guarantees. */
const guarantees = lines.filter((line, index) => {
  const above = lines.slice(0, index)
  const head = above.findLastIndex((text) => text === '| guarantee | test |')
  return line.startsWith('|') && head !== -1 && index > head + 1 && above.slice(head).every((text) => text !== '')
})

test('each guarantee of the protocol names tests that exist', () => {
  const wrong: string[] = []
  for (const row of guarantees) {
    const named = [...row.matchAll(/`([\w./-]+\.test\.ts) › ([^`]+)`/g)]
    if (named.length === 0) wrong.push(`no test in: ${row}`)
    for (const [, file = '', name = ''] of named) {
      if (!hasTest(join('test', file), name)) wrong.push(`${file} › ${name}`)
    }
  }
  expect(guarantees.length).toBeGreaterThan(40)
  expect(wrong).toEqual([])
})

test('each section of the protocol has guarantees', () => {
  const sections = textOf('docs/protocol.md').split(/^## /m).slice(1)
  expect(sections.filter((section) => !section.includes('| guarantee | test |'))).toEqual([])
})
