import { describe, expect, test } from 'vitest'
import { InvalidSettingError } from '../../src/errors.ts'
import { checkPattern, checkRoutingKey, checkServiceName, isPattern } from '../../src/topology/names.ts'

describe('a service name', () => {
  test.each(['ping', 'prime_time', 'ping-conf', 'team.billing', 'é'])('may be %j', (name) => {
    expect(() => checkServiceName(name)).not.toThrow()
  })

  test.each([
    ['', /not an empty string/],
    [undefined, /not undefined/],
    [12, /not 12/],
    ['a b', /spaces or characters that cannot be printed/],
    ['a\nb', /cannot be printed/],
    ['a\u0000', /cannot be printed/],
    ['\ud800', /cannot be printed/],
    ['amq.mine', /reserves/],
    ['a..b', /empty word/],
    ['.a', /empty word/],
    ['a.*', /wildcard/],
    ['#', /wildcard/],
    ['x'.repeat(246), /246 bytes long; at most 245/],
    ['é'.repeat(124), /248 bytes long/],
  ])('cannot be %j', (name, message) => {
    expect(() => checkServiceName(name)).toThrow(InvalidSettingError)
    expect(() => checkServiceName(name)).toThrow(message)
  })
})

test('a routing key may take 255 bytes and holds no wildcards', () => {
  expect(() => checkRoutingKey('key', 'x'.repeat(255))).not.toThrow()
  expect(() => checkRoutingKey('key', 'x'.repeat(256))).toThrow(/256 bytes/)
  expect(() => checkRoutingKey('key', 'a.*')).toThrow(/wildcard/)
})

test.each(['a', '*', '#', 'a.*.b', '#.a', 'a.#'])('%j is a legal pattern', (pattern) => {
  expect(() => checkPattern('pattern', pattern)).not.toThrow()
})

test.each(['a*', '*a', 'a.b#', '##', '**', 'a..b', ''])('%j is no legal pattern', (pattern) => {
  expect(() => checkPattern('pattern', pattern)).toThrow(InvalidSettingError)
})

test('only whole words are wildcards', () => {
  expect([isPattern('a.*'), isPattern('#'), isPattern('a.b'), isPattern('constructor')]).toEqual([
    true,
    true,
    false,
    false,
  ])
})
