import { encode } from 'cborg'
import { expect, test } from 'vitest'
import { envelopeOf } from '../../src/observe/envelope.ts'
import { makeRedact } from '../../src/observe/redact.ts'
import { message } from './messages.ts'

const withBody = (body: Buffer, contentType = 'application/json') => ({
  ...message('events', 'Called', null, { contentType }),
  body,
})

const payload = { caller: { phone: 'canary', name: 'Ada' }, items: [{ price: 1 }, { price: 2, n: 3 }], phone: 'other' }

test.for([
  ['application/json', Buffer.from(JSON.stringify(payload))],
  ['application/cbor', Buffer.from(encode(payload))],
] as const)('fields are taken out by their paths, and only those: %s', ([contentType, body]) => {
  const redact = makeRedact(['caller.phone', 'items.*.price', 'nowhere.at.all'])
  const shown = redact(withBody(body, contentType))
  expect(envelopeOf(shown).payload).toEqual({
    caller: { phone: '***', name: 'Ada' },
    items: [{ price: '***' }, { price: '***', n: 3 }],
    phone: 'other',
  })
  expect(shown.body.toString()).not.toContain('canary')
})

test('an own __proto__ is a field like any other, and nothing else changes', () => {
  const body = Buffer.from('{"__proto__": {"secret": "canary", "n": 1}}')
  const shown = makeRedact(['__proto__.secret'])(withBody(body))
  expect(Buffer.from(shown.body).toString()).toBe('{"__proto__":{"secret":"***","n":1}}')
})

test('a body that cannot be decoded is not shown at all', () => {
  const body = Buffer.from('canary')
  const shown = makeRedact(['a'])(withBody(body, 'application/cbor'))
  expect(envelopeOf(shown).payload).toMatch(/^\(not shown: it cannot be decoded/)
})

test('without paths the message is the same, and an empty path is refused', () => {
  const original = withBody(Buffer.from('canary'))
  expect(makeRedact()(original)).toBe(original)
  expect(() => makeRedact(['a..b'])).toThrow(/^--redact: takes paths/)
})
