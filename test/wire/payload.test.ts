import { describe, expect, test } from 'vitest'
import { PayloadDecodeError } from '../../src/errors.ts'
import { contentTypeOf, decodePayload, encodePayload, type PayloadValue } from '../../src/wire/payload.ts'

const EVENT: PayloadValue = {
  id: 'c1',
  at: 1_700_000_000_123,
  tags: ['a', 'é'],
  user: { name: 'Zoë', mail: null },
  score: -0.5,
}

describe.each(['cbor', 'json'] as const)('%s', (format) => {
  test('what is sent is what arrives', () => {
    expect(decodePayload(encodePayload(EVENT, format), contentTypeOf(format))).toEqual(EVENT)
  })

  test('an empty body is null', () => {
    expect(decodePayload(new Uint8Array(), contentTypeOf(format))).toBeNull()
  })

  test('an error is a PayloadDecodeError, with the cause when there is one', () => {
    expect(() => decodePayload(Buffer.from([0xff]), contentTypeOf(format))).toThrow(PayloadDecodeError)
  })
})

test('the content types are those of the bus', () => {
  expect([contentTypeOf('cbor'), contentTypeOf('json')]).toEqual(['application/cbor', 'application/json'])
})

test('CBOR carries bytes and 64-bit integers', () => {
  const value = { bytes: Buffer.from([1, 2]), ids: [2n ** 64n - 1n, -(2n ** 64n)], not: [NaN, Infinity, -0] }
  expect(decodePayload(encodePayload(value, 'cbor'), 'application/cbor')).toEqual(value)
})

test('integers beyond 64 bits that a peer sends are read', () => {
  expect(decodePayload(Buffer.from('c249010000000000000000', 'hex'), 'application/cbor')).toBe(2n ** 64n)
})

describe('the content type', () => {
  const cbor = encodePayload(EVENT, 'cbor')
  const json = encodePayload(EVENT, 'json')

  test.for([undefined, '', 'application/json', 'application/json; charset=utf-8', 'text/plain', 'Application/CBOR'])(
    'of %s is read as JSON',
    (contentType) => {
      expect(decodePayload(json, contentType)).toEqual(EVENT)
      expect(() => decodePayload(cbor, contentType)).toThrow(PayloadDecodeError)
      expect(decodePayload(Buffer.alloc(0), contentType)).toBeNull()
    },
  )

  test('is part of the error when it is not one of the two', () => {
    expect(() => decodePayload(cbor, 'application/\u001bcbor')).toThrow(
      /content_type is 'application\/\\x1bcbor': only 'application\/cbor' is read as CBOR, all else as JSON/,
    )
    expect(() => decodePayload(cbor, undefined)).toThrow(/content_type is none/)
    expect(() => decodePayload(cbor, 'application/json')).not.toThrow(/content_type/)
    expect(() => decodePayload(json, 'application/cbor')).toThrow(PayloadDecodeError)
  })
})
