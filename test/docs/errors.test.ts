/** docs/errors.md tells of the errors that exist, and of no others. */
import { expect, test } from 'vitest'
import * as errors from '../../src/errors.ts'
import * as eventail from '../../src/index.ts'
import { textOf } from './documents.ts'

/** The classes of src/errors.ts that can be thrown, with their codes. */
function declared(): Map<string, string> {
  const classes = new Map<string, string>()
  for (const [, name = '', body = ''] of textOf('src/errors.ts').matchAll(
    /^export class (\w+)[^{]*\{$([\s\S]*?)^\}$/gm,
  )) {
    classes.set(name, /readonly code(?:: string)? = '(\w+)'/.exec(body)?.[1] ?? 'none')
  }
  return classes
}

/** The headings of docs/errors.md. */
function documented(): Map<string, string> {
  const headings = textOf('docs/errors.md').matchAll(/^### `(\w+)` · (\w+)$/gm)
  return new Map([...headings].map(([, code = '', name = '']) => [name, code]))
}

test('the reference of errors has each class with its code', () => {
  expect(declared().size).toBeGreaterThan(10)
  expect(sorted(documented())).toEqual(sorted(declared()))
})

test('codes are unique, and every error is exported', () => {
  const codes = [...declared().values()]
  expect(new Set(codes).size).toBe(codes.length)
  const classes = Object.keys(errors).toSorted()
  expect(classes).toEqual(
    Object.keys(eventail)
      .filter((name) => name.endsWith('Error'))
      .toSorted(),
  )
  expect([...declared().keys(), ...basesInText()].toSorted()).toEqual(classes)
})

test('an error carries its name and its code, and is an EventailError', () => {
  const error = new errors.UnroutableError('events', 'Told', 'reached no queue', { cause: 'why' })
  expect(error).toBeInstanceOf(errors.PublishError)
  expect(error).toBeInstanceOf(errors.EventailError)
  expect(error).toMatchObject({ name: 'UnroutableError', code: 'UNROUTABLE', exchange: 'events', routingKey: 'Told' })
  expect(error.cause).toBe('why')
  expect(error.message).toBe("message 'Told' on exchange 'events' reached no queue")
})

/** The bases that the last section of docs/errors.md names. */
function basesInText(): readonly string[] {
  const section = textOf('docs/errors.md').split('\n## Bases\n')[1] ?? ''
  return [...section.matchAll(/`(\w+Error)`/g)].map(([, name = '']) => name)
}

function sorted(map: Map<string, string>): readonly string[] {
  return [...map].map(([name, code]) => `${name} ${code}`).toSorted()
}
