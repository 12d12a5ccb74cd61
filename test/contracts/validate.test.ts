import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { check, validate } from '../../src/contracts/validate.ts'
import { ContractError } from '../../src/errors.ts'

const order = z.object({ id: z.int(), items: z.array(z.object({ price: z.number().default(1) })).default([]) })

describe('a payload that comes in', () => {
  test('is what the schema makes of it, with the fields that the schema does not know', () => {
    const payload = { id: 1, items: [{}, { price: 2, vat: 0.2 }], added_in_v2: true }
    expect(validate(order, payload, 'x')).toEqual({
      id: 1,
      items: [{ price: 1 }, { price: 2, vat: 0.2 }],
      added_in_v2: true,
    })
    expect(payload).toEqual({ id: 1, items: [{}, { price: 2, vat: 0.2 }], added_in_v2: true })
  })

  test('passes whatever it is when there is no schema', () => {
    expect(validate(undefined, 12n, 'x')).toBe(12n)
  })

  test('that does not fit is refused with every issue and its path', () => {
    const bad = (): unknown => validate(order, { id: 'one', items: [{ price: 'two' }] }, "payload of 'Ordered'")
    expect(bad).toThrow(ContractError)
    expect(bad).toThrow(/payload of 'Ordered' does not fit its contract: id: .*; items\[0\]\.price: /)
  })

  test('cannot change prototypes through an unknown field', () => {
    const hostile: unknown = JSON.parse('{"id":1,"__proto__":{"polluted":true}}')
    const result = validate(order, hostile, 'x')
    expect(Object.getPrototypeOf(result)).toBe(Object.prototype)
    expect(Object.hasOwn(result as object, '__proto__')).toBe(true)
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })

  test('may be checked asynchronously', async () => {
    const slow = z.string().refine((text) => Promise.resolve(text !== 'no'))
    await expect(validate(slow, 'yes', 'x')).resolves.toBe('yes')
    await expect(validate(slow, 'no', 'x')).rejects.toThrow(ContractError)
  })
})

test('a payload that goes out is checked at once where the schema works at once', async () => {
  expect(check(order, { id: 1 }, 'x')).toBeUndefined()
  expect(() => check(order, { id: 'one' }, 'x')).toThrow(ContractError)
  await expect(
    check(
      z.string().refine(() => Promise.resolve(false)),
      'x',
      'y',
    ),
  ).rejects.toThrow(ContractError)
})

test('unknown fields are kept beside defaults and in converted items, and never given to an item of another place', () => {
  const defaults = z.object({
    a: z.string().default('x'),
    deep: z.object({ b: z.boolean().default(false) }).optional(),
  })
  expect(validate(defaults, { future: 1, deep: { future: 2 } }, 'it')).toEqual({
    a: 'x',
    future: 1,
    deep: { b: false, future: 2 },
  })
  const lower = z.array(z.object({ email: z.string().toLowerCase(), n: z.coerce.number().optional() }))
  const mixed = [
    { email: 'a', future: 1 },
    { email: 'B', n: '2', future: 2 },
  ]
  expect(validate(lower, mixed, 'it')).toEqual([
    { email: 'a', future: 1 },
    { email: 'b', n: 2, future: 2 },
  ])
  const sorted = z.array(z.object({ id: z.number() })).transform((list) => list.toSorted((a, b) => a.id - b.id))
  expect(validate(sorted, [{ id: 2, x: 99 }, { id: 1 }], 'it')).toEqual([{ id: 1 }, { id: 2 }])
  const reversed = z.array(z.object({ t: z.array(z.number()) })).transform((list) => list.toReversed())
  expect(validate(reversed, [{ t: [1], x: 99 }, { t: [2] }], 'it')).toEqual([{ t: [2] }, { t: [1] }])
})
