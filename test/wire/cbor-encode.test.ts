/** What is written as CBOR, and that it is nobody else's memory. What is refused is in payload-refusal.test.ts. */
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { PayloadEncodeError } from '../../src/errors.ts'
import { decodeCbor } from '../../src/wire/cbor-decode.ts'
import { encodeCbor } from '../../src/wire/cbor-encode.ts'
import { MAX_BIGNUM_BYTES, MAX_DEPTH, MAX_ITEMS } from '../../src/wire/payload-model.ts'
import { loadEncodeCases, loadVectors, same } from './cbor-fixtures.ts'

function nested(levels: number): unknown {
  let value: unknown = 0
  for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { a: value }
  return value
}

describe('the conformance vectors', () => {
  test.for(loadVectors().filter(({ encoded }) => encoded !== undefined))(
    '$name is written as Python reads it',
    (vector) => {
      expect(encodeCbor(vector.value).equals(vector.encoded!)).toBe(true)
    },
  )

  test.for(loadEncodeCases().filter(({ encoded }) => encoded !== undefined))('$name is written', (example) => {
    expect(encodeCbor(example.value).toString('hex')).toBe(example.encoded!.toString('hex'))
  })

  test.for(loadEncodeCases().filter(({ encoded }) => encoded === undefined))('$name is refused', (example) => {
    expect(() => encodeCbor(example.value)).toThrow(PayloadEncodeError)
  })
})

describe('memory', () => {
  test.for([1, 100, 4095, 4096, 100_000])('%i bytes are copied: changing them later changes nothing', (length) => {
    const bytes = new Uint8Array(length).fill(7)
    const body = encodeCbor({ before: 'x', bytes, after: bytes })
    const copy = Buffer.from(body)
    bytes.fill(9)
    expect(body.equals(copy)).toBe(true)
    const sevens = Buffer.alloc(length, 7)
    expect(same(decodeCbor(body), { before: 'x', bytes: sevens, after: sevens })).toBe(true)
  })

  test('a body stays as it is while others are written', () => {
    const bodies = Array.from({ length: 200 }, (_, i) => encodeCbor({ i, text: 'x'.repeat(i * 50) }))
    expect(bodies.map((body) => decodeCbor(body))).toEqual(bodies.map((_, i) => ({ i, text: 'x'.repeat(i * 50) })))
  })

  test('a value that is larger than any buffer kept before is written whole', () => {
    const value = { texts: Array.from({ length: 300 }, (_, i) => `é${i}`.repeat(5000)), last: 1 }
    expect(decodeCbor(encodeCbor(value))).toEqual(value)
    expect(decodeCbor(encodeCbor({ next: 'é' }))).toEqual({ next: 'é' })
  })

  test('nothing is left of a value that was refused half way', () => {
    expect(() =>
      encodeCbor({ bytes: new Uint8Array(5000), text: 'x'.repeat(100), bad: undefined, f: () => 0 }),
    ).toThrow(PayloadEncodeError)
    expect(encodeCbor([1]).toString('hex')).toBe('8101')
  })

  test('bytes that shrink while they are written are refused', () => {
    const memory = new ArrayBuffer(10_000, { maxByteLength: 10_000 })
    const value = [
      new Uint8Array(memory),
      {
        get shrinks() {
          memory.resize(10)
          return 1
        },
      },
    ]
    expect(() => encodeCbor(value)).toThrow(/bytes were resized while they were encoded/)
  })
})

describe('objects', () => {
  test('object literals of another realm are data', () => {
    expect(encodeCbor(runInNewContext('({ a: [1, new Uint8Array([2])] })')).toString('hex')).toBe('a1616182014102')
  })

  test('getters are read once', () => {
    let reads = 0
    const value = {
      get count() {
        return ++reads
      },
    }
    expect(decodeCbor(encodeCbor(value))).toEqual({ count: 1 })
  })

  test('symbols as keys and properties that are not enumerable are left out', () => {
    const value = Object.defineProperty({ a: 1, [Symbol('s')]: 2 }, 'hidden', { value: 3 })
    expect(decodeCbor(encodeCbor(value))).toEqual({ a: 1 })
  })

  test('an own __proto__ key is a key like any other', () => {
    const value: unknown = JSON.parse('{"__proto__":{"polluted":true},"b":2}')
    expect(encodeCbor(value).toString('latin1')).toContain('i__proto__')
    expect(decodeCbor(encodeCbor(value))).toEqual(value)
  })

  test('an object that comes twice is written twice', () => {
    const part = { k: 1 }
    expect(decodeCbor(encodeCbor([part, part]))).toEqual([{ k: 1 }, { k: 1 }])
  })
})

describe('limits', () => {
  test(`${MAX_DEPTH} levels are written and one more is refused`, () => {
    expect(decodeCbor(encodeCbor(nested(MAX_DEPTH)))).toEqual(nested(MAX_DEPTH))
    expect(() => encodeCbor(nested(MAX_DEPTH + 1))).toThrow(/nested deeper than 128 levels/)
  })

  test(`${MAX_ITEMS} items are written and one more is refused`, () => {
    // two keys and their values, and two arrays
    const half = Array.from({ length: MAX_ITEMS / 2 - 2 }, () => 0)
    expect(decodeCbor(encodeCbor({ a: half, b: half }))).toHaveProperty('b.length', half.length)
    expect(() => encodeCbor({ a: half, b: [...half, 1] })).toThrow(/payload\.b: there are more than 1000000 items/)
  })

  test('an object that is shared again and again is refused before it fills the memory', () => {
    let value: unknown = 'x'
    for (let i = 0; i < 100; i++) value = [value, value]
    expect(() => encodeCbor(value)).toThrow(/more than 1000000 items/)
  })

  test(`integers of ${MAX_BIGNUM_BYTES} bytes are written and larger ones are refused`, () => {
    const largest = 2n ** BigInt(8 * MAX_BIGNUM_BYTES) - 1n
    for (const value of [largest, -1n - largest]) expect(decodeCbor(encodeCbor(value))).toBe(value)
    for (const value of [largest + 1n, -2n - largest]) {
      expect(() => encodeCbor([value])).toThrow(/payload\[0\]: an integer of more than 256 bytes/)
    }
  })
})
