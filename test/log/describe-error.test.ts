import { expect, test } from 'vitest'
import { asError, describeError } from '../../src/log/describe-error.ts'

test('an error is told with its stack and its cause', () => {
  const { summary, full } = describeError(new Error('no luck', { cause: new Error('bad weather') }))
  expect(summary).toBe('no luck')
  expect(full).toMatch(/^Error: no luck\n {4}at /)
  expect(full).toContain('caused by: Error: bad weather')
})

test.each(['text', undefined, null, 12n, Symbol('s'), { a: 1 }, Object.create(null)])(
  '%o may be thrown as well',
  (thrown) => {
    expect(describeError(thrown).summary.length).toBeGreaterThan(0)
    expect(asError(thrown)).toBeInstanceOf(Error)
  },
)

test('what fails when it is looked at is told all the same', () => {
  class Odd extends Error {
    override get message(): string {
      throw new Error('no')
    }
  }
  expect(describeError(new Odd()).summary).toBe('something was thrown that cannot be shown')
  const proxy: unknown = new Proxy(
    {},
    {
      getPrototypeOf: () => {
        throw new Error('no')
      },
    },
  )
  expect(describeError(proxy).summary.length).toBeGreaterThan(0)
})
