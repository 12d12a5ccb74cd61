/** What cannot be sent: the error names the path of the offending part and what to send instead. */
import { describe, expect, test } from 'vitest'
import { PayloadEncodeError } from '../../src/errors.ts'
import { encodePayload, type PayloadFormat } from '../../src/wire/payload.ts'

class Point {
  x = 1
}

function refusalOf(value: unknown, format: PayloadFormat): PayloadEncodeError {
  try {
    encodePayload(value, format)
  } catch (error) {
    if (error instanceof PayloadEncodeError) return error
    throw error
  }
  throw new Error('the value was encoded')
}

function detached(): Uint8Array {
  const bytes = new Uint8Array(8)
  structuredClone(bytes, { transfer: [bytes.buffer] })
  return bytes
}

function nested(levels: number): unknown {
  let value: unknown = 0
  for (let i = 0; i < levels; i++) value = [value]
  return value
}

/** Refused in both formats with the same words: where it stands in `{ items: [0, { part }] }`, and why. */
const BOTH: readonly (readonly [name: string, part: unknown, message: string])[] = [
  [
    'a Date',
    new Date(0),
    'a Date cannot be sent; send its ISO string (date.toISOString()) or milliseconds (date.getTime())',
  ],
  ['a Map', new Map(), 'a Map cannot be sent; send an object (Object.fromEntries(map)) or its entries ([...map])'],
  ['a Set', new Set(), 'a Set cannot be sent; send an array ([...set])'],
  ['a Promise', Promise.resolve(1), 'a Promise cannot be sent; await it first'],
  ['a RegExp', /a/, 'a RegExp cannot be sent; send its source'],
  [
    'an Error',
    new TypeError('x'),
    'a TypeError cannot be sent; send its message or a plain object ({ name, message })',
  ],
  ['a URL', new URL('http://a/'), 'a URL cannot be sent; send a string (url.href)'],
  ['a boxed string', Object('s'), 'a String cannot be sent; send the primitive value (value.valueOf())'],
  ['an iterator', new Map().entries(), 'an object that is not a plain one cannot be sent; send an array ([...value])'],
  ['a class instance', new Point(), 'a Point cannot be sent; send a plain object with its data'],
  [
    'an object that inherits',
    Object.create({ a: 1 }),
    'an object that is not a plain one cannot be sent; send a plain object with its data',
  ],
  [
    'an object that inherits from a bare one',
    Object.create(Object.create(null)),
    'an object that is not a plain one cannot be sent; send a plain object with its data',
  ],
  ['a function', () => 1, 'a function cannot be sent; send what it returns, or leave it out'],
  ['a symbol', Symbol('s'), 'a symbol cannot be sent; send a string'],
  ['an ArrayBuffer', new ArrayBuffer(2), 'an ArrayBuffer cannot be sent; send new Uint8Array(buffer), in CBOR'],
  [
    'a DataView',
    new DataView(new ArrayBuffer(2)),
    'a DataView cannot be sent; send its bytes as a Uint8Array (of .buffer, .byteOffset, .byteLength), in CBOR',
  ],
  ['a lone surrogate', 'a\ud800', 'has a lone surrogate, which UTF-8 cannot carry; send text.toWellFormed()'],
]

describe.each(['cbor', 'json'] as const)('in %s', (format) => {
  test.for(BOTH)('%s is refused with a mend', ([, part, message]) => {
    expect(refusalOf({ ok: 1, items: [0, { part }] }, format).message).toBe(`payload.items[1].part: ${message}`)
    expect(refusalOf(part, format).message).toBe(`payload: ${message}`)
  })

  test('undefined is refused but as a property', () => {
    expect(refusalOf(undefined, format).message).toBe('payload: undefined cannot be sent; send null')
    expect(refusalOf({ list: [1, undefined] }, format).message).toBe(
      'payload.list[1]: undefined cannot be sent in an array; send null, or leave the element out',
    )
    expect(() => encodePayload({ a: undefined }, format)).not.toThrow()
  })

  test('a hole in an array is refused', () => {
    const holed = [1]
    holed[2] = 3
    expect(refusalOf({ holed }, format).message).toBe(
      'payload.holed[1]: a hole in an array cannot be sent; send null in its place',
    )
  })

  test('a lone surrogate in a key is refused, and does not get into the message', () => {
    const { message } = refusalOf({ 'k\udc00': 1 }, format)
    expect(message).toBe(
      'payload["k\\udc00"]: its key has a lone surrogate, which UTF-8 cannot carry; send text.toWellFormed()',
    )
  })

  test('a cycle is told from mere depth', () => {
    const parent: Record<string, unknown> = { name: 'p' }
    parent['children'] = [{ parent }]
    expect(refusalOf({ family: parent }, format).message).toBe(
      'payload.family.children[0].parent: refers back to payload.family; send an id in place of the reference',
    )
    const list: unknown[] = []
    list.push(1, list)
    expect(refusalOf(list, format).message).toMatch(/^payload\[1\]: refers back to payload;/)
    const middle = '[0]'.repeat(8)
    expect(refusalOf(nested(129), format).message).toBe(
      `payload${middle}…${middle}: is nested deeper than 128 levels; send a flatter value`,
    )
    expect(() => encodePayload(nested(128), format)).not.toThrow()
  })

  test('a long path is shortened and a strange key is quoted', () => {
    const value = { 'a b': { 'é\u202e\n': { ['x'.repeat(500)]: { last: Symbol('s') } } } }
    const { message } = refusalOf(value, format)
    expect(message).toMatch(/^payload\["a b"\]\["é\\u202e\\n"\]\["x{60}…"\]\.last: a symbol/)
  })

  test('a getter that throws is named, and its error is the cause', () => {
    const cause = new RangeError('no \u001b[31mvalue')
    const value = {
      list: [
        {
          get bad() {
            throw cause
          },
        },
      ],
    }
    const error = refusalOf(value, format)
    expect(error.message).toBe(
      'payload.list[0].bad: reading it threw an error (no \\x1b[31mvalue); send a plain copy of the data',
    )
    expect(error.cause).toBe(cause)
  })

  test('whatever a proxy throws, the error is ours', () => {
    const hostile = new Proxy(
      {},
      {
        ownKeys() {
          // oxlint-disable-next-line no-throw-literal -- a proxy may
          throw Object.create(null)
        },
      },
    )
    expect(refusalOf([hostile], format).message).toBe(
      'payload[0]: reading it threw an error (an error without a message); send a plain copy of the data',
    )
  })

  test('a getter that gives something else each time cannot bring the encoder down', () => {
    let reads = 0
    const value = {
      get odd() {
        return reads++ === 0 ? new Date(0) : 1
      },
    }
    expect(refusalOf(value, format).message).toMatch(/^payload: could not be encoded .*send a plain copy of it$/)
  })
})

describe('in cbor', () => {
  test.for([2n ** 64n, -(2n ** 64n) - 1n, 10n ** 400n])('an integer beyond 64 bits is refused', (value) => {
    expect(refusalOf({ value }, 'cbor').message).toBe(
      'payload.value: an integer beyond 64 bits cannot be sent; send it as a string',
    )
  })

  test('a typed array other than Uint8Array is refused', () => {
    expect(refusalOf([new Float32Array(2)], 'cbor').message).toBe(
      'payload[0]: a Float32Array cannot be sent; send its numbers (Array.from(array)), or its bytes as a Uint8Array (of .buffer, .byteOffset, .byteLength)',
    )
  })

  test('bytes that went to another thread are refused, and do not go out as no bytes', () => {
    expect(refusalOf({ audio: detached() }, 'cbor').message).toBe(
      'payload.audio: the memory of these bytes was transferred to another thread; send a copy made before that',
    )
    expect(encodePayload({ audio: new Uint8Array() }, 'cbor').toString('hex')).toBe('a165617564696f40')
  })

  test('a getter that encodes a payload is refused, and the encoder works after it', () => {
    const value = {
      inner: {
        get again() {
          return encodePayload([1], 'cbor')
        },
      },
    }
    expect(refusalOf(value, 'cbor').message).toMatch(
      /^payload\.inner\.again: reading it threw an error \(a payload cannot be encoded while another one is/,
    )
    expect(encodePayload([1], 'cbor').toString('hex')).toBe('8101')
  })
})

describe('in json', () => {
  test.for([
    [NaN, 'NaN cannot be sent as JSON; send null, or use application/cbor'],
    [-Infinity, '-Infinity cannot be sent as JSON; send null, or use application/cbor'],
    [1n, 'a bigint cannot be sent as JSON; use application/cbor, or send it as a string'],
    [new Uint8Array(2), 'bytes cannot be sent as JSON; use application/cbor, or send base64 text'],
    [Buffer.from('ab'), 'bytes cannot be sent as JSON; use application/cbor, or send base64 text'],
    [new Float32Array(2), 'a Float32Array cannot be sent; send its numbers (Array.from(array))'],
    [
      Object.defineProperty({}, 'toJSON', { value: () => 1 }),
      'has a toJSON method; send what it returns (value.toJSON())',
    ],
    [Object.assign([1], { toJSON: () => 1 }), 'has a toJSON method; send what it returns (value.toJSON())'],
  ] as const)('what JSON would change silently is refused with a mend: %s', ([part, message]) => {
    expect(refusalOf({ part }, 'json').message).toBe(`payload.part: ${message}`)
  })
})
