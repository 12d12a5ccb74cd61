/** What is read from CBOR, and that nothing hostile gets through or takes long. */
import { describe, expect, test } from 'vitest'
import { PayloadDecodeError } from '../../src/errors.ts'
import { decodeCbor } from '../../src/wire/cbor-decode.ts'
import { encodeCbor } from '../../src/wire/cbor-encode.ts'
import { MAX_DEPTH, MAX_ITEMS } from '../../src/wire/payload-model.ts'
import { loadHostile, loadVectors, same, type HostileInput } from './cbor-fixtures.ts'
import { seeded } from './random-values.ts'

const ALL_PREFIXES_UP_TO = 2000
/** Enough that some fall in the same place of a cache of 1024 keys. */
const PAIRS = 10_000

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex')
}

function asObject(value: unknown): object {
  if (typeof value !== 'object' || value === null) throw new TypeError('an object was expected')
  return value
}

/** The same as an expectation, for loops of thousands. */
function isRead(bytes: Buffer): boolean {
  try {
    decodeCbor(bytes)
    return true
  } catch (error) {
    if (error instanceof PayloadDecodeError) return false
    throw error
  }
}

/** All strict prefixes of a body; for a giant one those around its heads, and a sample. */
function prefixesOf(bytes: Buffer): Buffer[] {
  const { length } = bytes
  const step = length <= ALL_PREFIXES_UP_TO ? 1 : Math.floor(length / 50)
  const lengths = new Set<number>()
  for (let i = 0; i < length; i += step) lengths.add(i)
  for (let i = 0; i < 12; i++) lengths.add(Math.min(i, length - 1)).add(Math.max(length - 1 - i, 0))
  return [...lengths].map((end) => bytes.subarray(0, end))
}

describe('the conformance vectors', () => {
  test.for(loadVectors().filter(({ encoded }) => encoded !== undefined))('$name is read', ({ bytes, value }) => {
    const read = decodeCbor(bytes)
    // a mismatch of megabytes is not for printing
    if (bytes.length < ALL_PREFIXES_UP_TO && !same(read, value)) expect(read).toStrictEqual(value)
    expect(same(read, value)).toBe(true)
  })

  test.for(loadVectors().filter(({ encoded }) => encoded === undefined))('$name is refused', ({ bytes }) => {
    expect(() => decodeCbor(bytes)).toThrow(PayloadDecodeError)
  })

  test.for(loadVectors())('$name is refused when it is cut off, and when a byte follows', ({ bytes }) => {
    const damaged = [...prefixesOf(bytes), Buffer.concat([bytes, Buffer.from([0])])]
    expect(damaged.filter(isRead)).toEqual([])
  })
})

describe('hostile bodies', () => {
  const repeated = (name: string, prefix: string, unit: string, count: number, suffix = ''): HostileInput => ({
    name,
    bytes: Buffer.concat([hex(prefix), Buffer.alloc(count * (unit.length / 2), unit, 'hex'), hex(suffix)]),
    maxMs: 1000,
  })
  const own: HostileInput[] = [
    repeated('10 MB of empty arrays', '9a 00989680', '80', 10_000_000),
    repeated('10 MB of empty arrays without a length', '9f', '80', 10_000_000, 'ff'),
    repeated('10 MB of empty maps in maps', 'bf', '6161a0', 3_000_000, 'ff'),
    repeated('10 MB of arrays in arrays of ten', '9a 000e21b5', '8a80808080808080808080', 926_133),
    repeated('2 MB of empty chunks of bytes', '5f', '40', 2_000_000, 'ff'),
    repeated('2 MB of empty chunks of text', '7f', '60', 2_000_000, 'ff'),
    repeated('a bignum of 257 bytes', 'c2 59 0101', 'ff', 257),
    repeated('a bignum of 257 bytes in chunks', 'c2 5f', '41ff', 257, 'ff'),
    repeated('one array more than the depth limit', '', '81', MAX_DEPTH + 1, '00'),
    repeated('one map more than the depth limit', '', 'a16161', MAX_DEPTH + 1, '00'),
    repeated('arrays that claim the same bytes again and again', '', '990400', 127, '00'.repeat(1100)),
    repeated('maps that claim the same bytes again and again', '', 'b901006161', 127, '00'.repeat(600)),
  ]

  test.for([...loadHostile(), ...own])('$name is refused at once', ({ bytes, maxMs }) => {
    // the processor's time: a machine that is busy with something else is no fault of the decoder
    const started = process.cpuUsage()
    expect(() => decodeCbor(bytes)).toThrow(PayloadDecodeError)
    expect(process.cpuUsage(started).user / 1000).toBeLessThan(maxMs)
  })

  test(`${MAX_ITEMS} items are read and one more is refused`, () => {
    const zeros = Buffer.alloc(MAX_ITEMS + 1)
    expect(decodeCbor(Buffer.concat([hex('9a 000f4240'), zeros.subarray(1)]))).toHaveLength(MAX_ITEMS)
    expect(() => decodeCbor(Buffer.concat([hex('9a 000f4241'), zeros]))).toThrow(/more than 1000000 items/)
    expect(() => decodeCbor(Buffer.concat([hex('9f'), zeros, hex('ff')]))).toThrow(/more than 1000000 items/)
  })

  test('keys count as items, so the largest map of different keys is read quickly', () => {
    const entries = MAX_ITEMS / 2
    const body = Buffer.alloc(5 + entries * 8)
    body.write('ba0007a120', 'hex')
    for (let i = 0; i < entries; i++) body.write(`f${String(i).padStart(6, 'k')}\0`, 5 + i * 8, 'latin1')
    const started = process.cpuUsage()
    const map = decodeCbor(body)
    expect(process.cpuUsage(started).user / 1000).toBeLessThan(1500)
    expect(map).toMatchObject({ kkkkk0: 0, 499999: 0 })
    body.write('ba0007a121', 'hex')
    expect(() => decodeCbor(Buffer.concat([body, hex('6161 00')]))).toThrow(/more than 1000000 items/)
    expect(() => decodeCbor(Buffer.concat([hex('bf'), body.subarray(5), hex('6161 00 ff')]))).toThrow(
      /more than 1000000 items/,
    )
  })
})

describe('keys', () => {
  test.for(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf'])('%s is an ordinary key', (key) => {
    const body = Buffer.concat([hex('a1'), encodeCbor(key), hex('a1 6178 01')])
    const map = decodeCbor(body)
    expect(Object.getOwnPropertyNames(map)).toEqual([key])
    expect(Object.getOwnPropertyDescriptor(map, key)).toEqual({
      value: { x: 1 },
      writable: true,
      enumerable: true,
      configurable: true,
    })
    expect(Object.getPrototypeOf(map)).toBe(Object.prototype)
    expect('x' in {}).toBe(false)
    expect(() =>
      decodeCbor(Buffer.concat([hex('a2'), encodeCbor(key), hex('01'), encodeCbor(key), hex('02')])),
    ).toThrow(`the key "${key}" comes twice`)
  })

  test('thousands of keys of all lengths are told apart, however they fall in the cache', () => {
    const random = seeded(5)
    const letters = (length: number) => Array.from({ length }, () => random.pick('abcdefghijklmnop'.split(''))).join('')
    for (let i = 0; i < PAIRS; i++) {
      const key = letters(1 + random.below(8))
      const longer = `${key}${letters(1 + random.below(8))}`
      for (const one of [longer, key])
        if (!Object.hasOwn(asObject(decodeCbor(encodeCbor({ [one]: 1 }))), one)) expect.fail(one)
    }
  })

  test('Latin-1 keys are refused although the same keys in UTF-8 came before', () => {
    const random = seeded(6)
    for (let i = 0; i < PAIRS; i++) {
      const key = String.fromCharCode(
        0xc0 + random.below(32),
        ...Array.from({ length: random.below(6) }, () => 97 + random.below(26)),
      )
      decodeCbor(encodeCbor({ [key]: 1 }))
      const latin1 = Buffer.concat([
        Buffer.from([0xa1, 0x60 + key.length]),
        Buffer.from(key, 'latin1'),
        Buffer.from([1]),
      ])
      if (isRead(latin1)) expect.fail(`${key} in Latin-1 was read`)
    }
  })

  test('a key that is not UTF-8 is refused also after a good one of its length', () => {
    for (let i = 0; i < 3; i++) {
      expect(decodeCbor(hex('a1 62 6162 01'))).toEqual({ ab: 1 })
      expect(() => decodeCbor(hex('a1 62 61ff 01'))).toThrow(/not UTF-8/)
    }
  })

  test('keys may come in chunks', () => {
    expect(decodeCbor(hex('a1 7f 6161 6162 ff 01'))).toEqual({ ab: 1 })
    expect(() => decodeCbor(hex('a2 62 6162 01 7f 6161 6162 ff 02'))).toThrow(/comes twice/)
  })
})

describe('strings', () => {
  test('byte strings are views of the body', () => {
    const body = encodeCbor({ bytes: new Uint8Array([1, 2, 3]) })
    const read = decodeCbor(body)
    body[body.length - 1] = 9
    expect(read).toEqual({ bytes: Buffer.from([1, 2, 9]) })
  })

  test('strings in chunks are put together', () => {
    expect(decodeCbor(hex('5f 41 01 40 42 0203 ff'))).toEqual(Buffer.from([1, 2, 3]))
    expect(decodeCbor(hex('7f 61 61 60 62 c3a9 ff'))).toBe('aé')
    expect(decodeCbor(hex('82 5fff 7fff'))).toEqual([Buffer.alloc(0), ''])
  })

  test('a body inside a larger buffer is read from its own start', () => {
    const body = encodeCbor({ a: 1.5, b: 2 ** 40, c: 'é'.repeat(30), d: new Uint8Array([1]) })
    const larger = new Uint8Array(body.length + 20)
    larger.set(body, 7)
    expect(same(decodeCbor(larger.subarray(7, 7 + body.length)), decodeCbor(body))).toBe(true)
  })
})

describe('errors', () => {
  test.for([
    ['81 19 01', /it is cut off \(at byte 3 of 3\)/],
    ['82 01', /an array or a map is longer than the body \(at byte 0 of 2\)/],
    ['0102', /more bytes follow the value \(at byte 1 of 2\)/],
    ['81c1 00', /tag 1 is not allowed \(a datetime; send text or seconds\) \(at byte 1 of 3\)/],
    ['d8ff 00', /tag 255 is not allowed \(at byte 0/],
    ['81f7', /undefined is not allowed \(at byte 1/],
    ['a1 01 02', /a key that is not text \(at byte 1/],
    ['a2 61 0a 01 61 0a 02', /the key "\\n" comes twice/],
    ['82 01 63 61', /a text string is longer than the body \(at byte 2/],
    // the outer containers still need bytes, so the inner array cannot have them all
    ['82 82 00 00', /an array or a map is longer than the body \(at byte 1/],
    ['9f 82 00 00', /an array or a map is longer than the body \(at byte 1/],
    ['a2 61 61 82 00 00 00', /an array or a map is longer than the body \(at byte 3/],
    ['bf 61 61 82 00 00', /an array or a map is longer than the body \(at byte 3/],
    ['44 01', /a byte string is longer than the body \(at byte 0/],
    ['9bffffffffffffffff', /an array or a map is longer than the body/],
    ['ff', /a break stands where a value is due/],
    ['1c', /the additional information 28 is not allowed here \(at byte 0/],
  ] as const)('%s: the error says %s', ([text, message]) => {
    expect(() => decodeCbor(hex(text))).toThrow(message)
  })

  test('after an error the next body is read as ever', () => {
    expect(() => decodeCbor(hex('8201'))).toThrow(PayloadDecodeError)
    expect(decodeCbor(hex('8201 02'))).toEqual([1, 2])
  })
})
