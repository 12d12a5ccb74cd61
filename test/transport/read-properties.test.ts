import { expect, test } from 'vitest'
import { encodePublish } from '../../src/transport/publish-frames.ts'
import { readProperties } from '../../src/transport/read-properties.ts'
import type { Headers, OutgoingProperties } from '../../src/wire/message.ts'

const HEADERS: Headers = {
  text: 'ü',
  '': '',
  int: -5,
  large: 2 ** 40,
  huge: 2n ** 62n,
  float: 1.5,
  yes: true,
  none: null,
  date: new Date(1_600_000_000_000),
  bytes: Uint8Array.of(0, 255),
  list: [1, ['two', { three: 3 }]],
  table: { of: { tables: [] } },
}
const ALL: OutgoingProperties = {
  contentType: 'application/json',
  headers: HEADERS,
  persistent: true,
  correlationId: 'k',
  replyTo: 'r',
  expiration: '5',
  messageId: 'm',
  timestamp: 1_600_000_000,
  appId: 'a',
}

/** The properties as they are written, from their flags on. */
function written(properties: OutgoingProperties): Buffer {
  const empty = { exchange: '', routingKey: '', mandatory: false, body: new Uint8Array(0) }
  const bytes = Buffer.concat(encodePublish(1, 131_072, { ...empty, properties }))
  // the frame of the method comes first; the other one ends with one byte
  const methodFrame = 8 + bytes.readUInt32BE(3)
  return bytes.subarray(methodFrame + 7 + 12, -1)
}

/** Flags, and a table of one header with this value. */
function header(...value: number[]): Buffer {
  return Buffer.from([0x20, 0, 0, 0, 0, 2 + value.length, 1, 0x68, ...value])
}

test('properties and headers of all types are read as they were written', () => {
  expect(readProperties(written(ALL))).toEqual({
    contentType: 'application/json',
    deliveryMode: 2,
    headers: HEADERS,
    correlationId: 'k',
    replyTo: 'r',
    expiration: '5',
    messageId: 'm',
    timestamp: new Date(1_600_000_000_000),
    appId: 'a',
  })
  expect(readProperties(written({ persistent: false }))).toEqual({})
})

test('numbers of all types that brokers pass on are read', () => {
  const numbers: readonly (readonly [number, string, number[]])[] = [
    [-128, 'b', [0x80]],
    [255, 'B', [0xff]],
    [-2, 's', [0xff, 0xfe]],
    [65_534, 'u', [0xff, 0xfe]],
    [4_294_967_294, 'i', [0xff, 0xff, 0xff, 0xfe]],
    [0.5, 'f', [0x3f, 0, 0, 0]],
    [-1.25, 'D', [2, 0xff, 0xff, 0xff, 0x83]],
  ]
  for (const [number, type, bytes] of numbers) {
    expect(readProperties(header(type.charCodeAt(0), ...bytes))).toEqual({ headers: { h: number } })
  }
})

test('a header named __proto__ is an own property', () => {
  const name = Buffer.from('__proto__')
  const table = Buffer.from([name.length, ...name, 0x46, 0, 0, 0, 3, 1, 0x61, 0x56])
  const { headers = {} } = readProperties(Buffer.from([0x20, 0, 0, 0, 0, table.length, ...table]))
  expect(Object.entries(headers)).toEqual([['__proto__', { a: null }]])
  expect(Object.getPrototypeOf(headers)).toBe(Object.prototype)
})

test('properties that are cut off anywhere are reported as unreadable, and never throw', () => {
  const bytes = written(ALL)
  for (let length = 0; length < bytes.length; length++) {
    expect(readProperties(bytes.subarray(0, length)).unreadable).toMatch(
      /cannot be read: \d+ bytes are announced where/,
    )
  }
})

test('headers that cannot be read leave the other properties readable', () => {
  const bytes = Buffer.concat([header(0x3f), Buffer.from([1, 0x6d])])
  bytes[1] = 0x80
  const unreadable = 'its headers cannot be read: field type 0x3f is unknown'
  expect(readProperties(bytes)).toEqual({ headers: {}, messageId: 'm', unreadable })
})

test('a property that is not UTF-8 makes the properties unreadable, and a header that is not is bytes', () => {
  const replyTo = readProperties(Buffer.from([0x02, 0, 2, 0xc3, 0x28]))
  expect(replyTo).toEqual({ unreadable: 'its properties cannot be read: a text in them is not UTF-8' })
  expect(readProperties(header(0x53, 0, 0, 0, 2, 0xff, 0xfe))).toEqual({ headers: { h: Uint8Array.of(0xff, 0xfe) } })
  // U+FFFD itself is text
  expect(readProperties(header(0x53, 0, 0, 0, 3, 0xef, 0xbf, 0xbd))).toEqual({ headers: { h: '\ufffd' } })
})
