import { describe, expect, test } from 'vitest'
import { PayloadDecodeError } from '../../src/errors.ts'
import { decodeJson, encodeJson } from '../../src/wire/json.ts'

const LEVELS = 128

describe('encoding', () => {
  test('text is UTF-8, not escaped, and undefined properties are left out', () => {
    expect(encodeJson({ a: 'Zoë 😀', b: undefined, c: [null, true, -1.5, {}] }).toString('utf8')).toBe(
      '{"a":"Zoë 😀","c":[null,true,-1.5,{}]}',
    )
  })

  test('an own __proto__ key is a key like any other, both ways', () => {
    const text = '{"__proto__":{"polluted":1},"a":2}'
    const value = decodeJson(Buffer.from(text))
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    expect('polluted' in {}).toBe(false)
    expect(encodeJson(value).toString()).toBe(text)
  })

  test('a toJSON key that holds data is data', () => {
    expect(encodeJson({ toJSON: 1 }).toString()).toBe('{"toJSON":1}')
  })
})

describe('decoding', () => {
  test('what was encoded is read back', () => {
    const value = { a: 'Zoë 😀', list: [null, true, -1.5, 1e300, {}, []], 'k"\\': '\u2028"\\[{' }
    expect(decodeJson(encodeJson(value))).toEqual(value)
  })

  test('a body inside a larger buffer is read from its own start', () => {
    expect(decodeJson(new Uint8Array(Buffer.from('xx{"a":1}yy')).subarray(2, 9))).toEqual({ a: 1 })
  })

  test('integers beyond 2^53 are rounded', () => {
    expect(decodeJson(Buffer.from('9007199254740993'))).toBe(9007199254740992)
  })

  test(`${LEVELS} levels are read and one more is refused`, () => {
    const body = (levels: number) => Buffer.from('[{"a":'.repeat(levels / 2) + '0' + '}]'.repeat(levels / 2))
    expect(encodeJson(decodeJson(body(LEVELS)))).toEqual(body(LEVELS))
    expect(() => decodeJson(body(LEVELS + 2))).toThrow('nested deeper than 128 levels')
    expect(() => decodeJson(Buffer.from(`${'['.repeat(LEVELS + 1)}${']'.repeat(LEVELS + 1)}`))).toThrow(
      PayloadDecodeError,
    )
  })

  test('brackets in strings are not levels', () => {
    const text = `${'[{'.repeat(500)}"\\${'[{'.repeat(500)}`
    expect(decodeJson(Buffer.from(JSON.stringify([text, { [text]: '\\"[' }])))).toEqual([text, { [text]: '\\"[' }])
  })

  test('siblings are not levels', () => {
    expect(decodeJson(Buffer.from(`[${'[],{},'.repeat(1000)}0]`))).toHaveLength(2001)
  })

  test.for([
    ['a million levels of arrays', '['.repeat(1_000_000) + ']'.repeat(1_000_000)],
    ['a million levels of objects, cut off', '{"a":'.repeat(1_000_000)],
    ['a string of 10 MB, cut off', `"${'x'.repeat(10_000_000)}`],
    ['an escape at the end', '"\\'],
    ['many closing brackets', ']'.repeat(1_000_000)],
  ] as const)('%s: refused within a second', ([, text]) => {
    const started = process.cpuUsage()
    expect(() => decodeJson(Buffer.from(text))).toThrow(PayloadDecodeError)
    expect(process.cpuUsage(started).user / 1000).toBeLessThan(1000)
  })

  test('a large body is read', () => {
    const rows = Array.from({ length: 50_000 }, (_, id) => ({ id, name: `row ${id}` }))
    expect(decodeJson(encodeJson(rows))).toHaveLength(rows.length)
  })

  test.for(['NaN', '[Infinity]', '{"a":1,}', '', '1 2', 'abc', "{'a':1}", '{"a":1}\0'])('%s is refused', (text) => {
    expect(() => decodeJson(Buffer.from(text))).toThrow(/^the body is not JSON: /)
  })

  test('the error shows no control character of the body', () => {
    expect(() => decodeJson(Buffer.from('[\u001b[31m]'))).toThrow(/\\x1b/)
    expect(() => decodeJson(Buffer.from('[\u001b[31m]'))).not.toThrow('\u001b')
  })

  test('what is not UTF-8 is refused', () => {
    expect(() => decodeJson(Buffer.from([0x22, 0xff, 0x22]))).toThrow('not valid UTF-8')
    expect(() => decodeJson(Buffer.from('"\ud800"', 'utf16le'))).toThrow(PayloadDecodeError)
  })

  test('a byte order mark is refused at the start and kept in a string', () => {
    expect(() => decodeJson(Buffer.from('\ufeff{}'))).toThrow('byte order mark')
    expect(decodeJson(Buffer.from('"\ufeff"'))).toBe('\ufeff')
  })

  test('escaped surrogates are read in pairs and refused alone', () => {
    expect(decodeJson(Buffer.from('["\\ud83d\\ude00","\\\\ud83d",{"\\uD83D\\uDE00":1}]'))).toEqual([
      '😀',
      '\\ud83d',
      { '😀': 1 },
    ])
    for (const text of ['"\\ud83d"', '{"a":["\\uDE00"]}', '{"\\ud83d":1}', '"\\ude00\\ud83d"', '"\\\\\\ud800"']) {
      expect(() => decodeJson(Buffer.from(text))).toThrow('lone surrogate')
    }
  })
})
