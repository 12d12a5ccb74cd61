import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { encodePublish, headerBytes } from '../../src/transport/publish-frames.ts'
import type { HeaderValue, OutgoingMessage } from '../../src/wire/message.ts'

// The other AMQP library's decoder is the judge of what we write.
const require = createRequire(import.meta.url)
interface Decoded {
  fields: Record<string, unknown>
}
const defs: {
  decode(id: number, buffer: Buffer): Record<string, unknown>
  BasicPublish: number
  BasicProperties: number
} = require(join(dirname(require.resolve('amqplib')), 'lib/defs.js'))

interface Frame {
  type: number
  channel: number
  payload: Buffer
}

function framesOf(chunks: readonly Uint8Array[]): Frame[] {
  const bytes = Buffer.concat(chunks)
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length;) {
    const size = bytes.readUInt32BE(at + 3)
    frames.push({
      type: bytes.readUInt8(at),
      channel: bytes.readUInt16BE(at + 1),
      payload: bytes.subarray(at + 7, at + 7 + size),
    })
    expect(bytes[at + 7 + size]).toBe(0xce)
    at += size + 8
  }
  return frames
}

const message: OutgoingMessage = {
  exchange: 'events',
  routingKey: 'Something.Happened',
  mandatory: true,
  body: Buffer.from('hello'),
  properties: {
    persistent: true,
    contentType: 'application/cbor',
    correlationId: 'corr',
    replyTo: 'me.Result',
    expiration: '1500',
    messageId: 'id',
    timestamp: 1_700_000_000,
    appId: 'me',
    headers: {
      text: 'é'.repeat(50),
      small: -5,
      large: 2 ** 40,
      float: 1.5,
      yes: true,
      none: null,
      bytes: Uint8Array.of(1, 2),
      list: ['a', 1, { deep: 'x' }],
      when: new Date(1_700_000_000_000),
    },
  },
}

test('another library reads from our bytes what we meant', () => {
  const [method, header, body] = framesOf(encodePublish(7, 131_072, message))
  expect([method?.type, header?.type, body?.type]).toEqual([1, 2, 3])
  expect([method?.channel, header?.channel, body?.channel]).toEqual([7, 7, 7])
  expect(method?.payload.readUInt32BE(0)).toBe(defs.BasicPublish)
  expect(defs.decode(defs.BasicPublish, method?.payload.subarray(4) ?? Buffer.alloc(0))).toMatchObject({
    exchange: 'events',
    routingKey: 'Something.Happened',
    mandatory: true,
    immediate: false,
  })
  expect(header?.payload.readBigUInt64BE(4)).toBe(5n)
  const properties = defs.decode(defs.BasicProperties, header?.payload.subarray(12) ?? Buffer.alloc(0)) as Decoded &
    Record<string, unknown>
  expect(properties).toMatchObject({
    contentType: 'application/cbor',
    deliveryMode: 2,
    correlationId: 'corr',
    replyTo: 'me.Result',
    expiration: '1500',
    messageId: 'id',
    timestamp: 1_700_000_000,
    appId: 'me',
    headers: {
      text: 'é'.repeat(50),
      small: -5,
      large: 2 ** 40,
      float: 1.5,
      yes: true,
      none: null,
      list: ['a', 1, { deep: 'x' }],
    },
  })
  expect(body?.payload.toString()).toBe('hello')
})

test.each([0, 1, 4096, 4097, 8184, 8185, 50_000])(
  'a body of %i bytes is cut into frames that the broker allows',
  (size) => {
    const body = Buffer.alloc(size, 'x')
    const frames = framesOf(encodePublish(1, 8192, { ...message, body }))
    expect(frames[1]?.payload.readBigUInt64BE(4)).toBe(BigInt(size))
    expect(
      frames.slice(2).every(({ type, payload }) => type === 3 && payload.length <= 8184 && payload.length > 0),
    ).toBe(true)
    expect(Buffer.concat(frames.slice(2).map(({ payload }) => payload))).toEqual(body)
  },
)

test('a large body is not copied', () => {
  const body = Buffer.alloc(100_000)
  const chunks = encodePublish(1, 131_072, { ...message, body })
  expect(chunks.some((chunk) => chunk.buffer === body.buffer && chunk.byteLength === body.byteLength)).toBe(true)
})

test('what AMQP cannot carry is refused, and the next message is whole', () => {
  expect(() => encodePublish(1, 8192, { ...message, routingKey: 'x'.repeat(256) })).toThrow(
    /256 bytes long; AMQP allows 255/,
  )
  expect(() =>
    encodePublish(1, 131_072, { ...message, properties: { persistent: true, headers: { big: 'x'.repeat(70_000) } } }),
  ).toThrow(/headers take/)
  expect(() => headerBytes({ not: Number.NaN })).toThrow('NaN is no number that AMQP can carry')
  expect(framesOf(encodePublish(1, 8192, message))).toHaveLength(3)
  expect(headerBytes({ a: 'b' })).toBe(4 + 2 + 1 + 4 + 1)
})

test('headers that Python cannot read are refused', () => {
  const deep = (levels: number): HeaderValue => (levels === 0 ? 1 : { in: deep(levels - 1) })
  const withHeader = (value: HeaderValue): (() => unknown) => {
    return () => encodePublish(1, 131_072, { ...message, properties: { persistent: true, headers: { value } } })
  }
  expect(withHeader(new Date(8.64e15))).toThrow(/between 1970 and 9999/)
  expect(withHeader(new Date(-1e12))).toThrow(/between 1970 and 9999/)
  expect(withHeader(deep(32))).not.toThrow()
  expect(withHeader(deep(33))).toThrow(/nested deeper than 32/)
})
