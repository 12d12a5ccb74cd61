/** The page about the development broker names all that it refuses, and nothing that it does. */
import { expect, test } from 'vitest'
import { NOT_IMPLEMENTED, OLD_PROTOCOL } from '../conformance/not-implemented.ts'
import { textOf } from './documents.ts'

const [, limits = ''] = textOf('docs/development-broker.md').split('## What it does not do')

test('what the development broker refuses is what the scenarios say, in its own words', () => {
  const rows = limits.split('\n').filter((line) => line.startsWith('| `') && !line.includes('RabbitMQ itself'))
  const named = rows.flatMap((row) =>
    [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, words = '']) => words),
  )
  expect(named.toSorted()).toEqual(Object.values(NOT_IMPLEMENTED).toSorted())
  expect(limits).toContain(OLD_PROTOCOL)
})
