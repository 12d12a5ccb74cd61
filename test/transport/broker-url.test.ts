import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { InvalidSettingError } from '../../src/errors.ts'
import { parseBrokerUrl, parseBrokerUrls } from '../../src/transport/broker-url.ts'

test('what is left out has AMQP defaults', () => {
  const broker = parseBrokerUrl('amqp://localhost')
  expect(broker).toMatchObject({
    tls: false,
    host: 'localhost',
    port: 5672,
    vhost: '/',
    user: 'guest',
    shown: 'amqp://guest@localhost:5672/',
  })
  expect(broker.password).toBe('guest')
  expect(parseBrokerUrl('amqps://broker.example')).toMatchObject({ tls: true, port: 5671 })
})

test('every part may be percent-encoded, and addresses may be IPv6', () => {
  const broker = parseBrokerUrl('amqp://us%40er:p%2F%3A%25@[::1]:5673/my%2Fvhost')
  expect(broker).toMatchObject({ host: '::1', port: 5673, vhost: 'my/vhost', user: 'us@er' })
  expect(broker.password).toBe('p/:%')
  expect(broker.shown).toBe('amqp://us%40er@[::1]:5673/my%2Fvhost')
})

test.each(['amqp://u:canary/x@h', 'http://u:canary@h', 'amqp://u:canary%zz@h', 'canary', ''])(
  'a wrong URL is named by its position and never shown: %j',
  (url) => {
    let error: unknown
    try {
      parseBrokerUrls(['amqp://localhost', url])
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(InvalidSettingError)
    expect((error as Error).message).toMatch(/^urls\[1\]: /)
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('canary')
  },
)

test('the password shows in no dump of a parsed URL', () => {
  const broker = parseBrokerUrl('amqp://u:canary@h')
  expect(inspect(broker) + JSON.stringify(broker)).not.toContain('canary')
})

test('an empty list is refused', () => {
  expect(() => parseBrokerUrls([])).toThrow(/urls: is empty/)
})

test.each([
  ['amqp://bob:1234/canary@host', /percent-encode/],
  ['amqp://bob:/canary@host', /percent-encode/],
  ['amqp://host?heartbeat=5', /use the settings instead/],
  ['amqp://host/#x', /use the settings instead/],
])('what would be read as something else than was meant is refused: %j', (url, message) => {
  expect(() => parseBrokerUrl(url)).toThrow(message)
  expect(() => parseBrokerUrl(url)).not.toThrow(/canary/)
})
