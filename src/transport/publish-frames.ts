/**
 * The bytes of a basic.publish: method frame, content header frame and body frames, written by hand.
 *
 * It is the one place where the toolkit writes AMQP itself: the client library limits the headers of a message to one
 * small buffer and holds a buffer of the largest frame's size for each unconfirmed message. Large bodies are not copied.
 * Source: AMQP 0-9-1, sections 2.3.5, 4.2.3 and 4.2.5, and RabbitMQ's errata on field types.
 */
import { describe } from '../options.ts'
import type { Headers, HeaderValue, OutgoingMessage, OutgoingProperties, RawHeaders } from '../wire/message.ts'

const METHOD = 1
const HEADER = 2
const BODY = 3
const FRAME_END = 0xce
const FRAME_OVERHEAD = 8
const BASIC_CLASS = 60
const PUBLISH_METHOD = 40

/** Bodies up to this size travel in one buffer with their headers; larger ones are written from where they are. */
const COPY_UP_TO = 4096

const MAX_HEADER_DEPTH = 32
/** The end of the year 9999: Python's dates go no further. */
const LAST_SECOND = 253_402_300_799

/** Headers of one message, encoded, may take this many bytes: more than any use, less than a frame of a broker that was not set otherwise. */
export const MAX_HEADER_BYTES = 65_536

let scratch = Buffer.allocUnsafeSlow(16_384)
let at = 0

/**
 * Encodes a publish for one channel.
 * @returns the chunks to write, in order
 * @throws RangeError when a short string is longer than 255 bytes, or the headers are too large, also for a frame of this broker
 */
export function encodePublish(channel: number, frameMax: number, message: OutgoingMessage): Uint8Array[] {
  const { body, properties } = message
  at = 0
  const method = beginFrame(METHOD, channel)
  uint16(BASIC_CLASS)
  uint16(PUBLISH_METHOD)
  uint16(0)
  shortString(message.exchange)
  shortString(message.routingKey)
  uint8(message.mandatory ? 1 : 0)
  endFrame(method)
  const headerAt = at
  const header = beginFrame(HEADER, channel)
  uint16(BASIC_CLASS)
  uint16(0)
  uint32(0)
  uint32(body.byteLength)
  writeProperties(properties)
  endFrame(header)
  // only bodies travel in several frames
  if (at - headerAt > frameMax)
    throw new RangeError(
      `the headers and properties take a frame of ${at - headerAt} bytes; the broker allows ${frameMax} (its frame_max)`,
    )
  const largest = frameMax - FRAME_OVERHEAD
  if (body.byteLength <= Math.min(COPY_UP_TO, largest)) {
    if (body.byteLength > 0) {
      const content = beginFrame(BODY, channel)
      raw(body)
      endFrame(content)
    }
    return [takeWritten()]
  }
  const chunks: Uint8Array[] = []
  for (let start = 0; start < body.byteLength; start += largest) {
    const part = body.subarray(start, start + largest)
    uint8(BODY)
    uint16(channel)
    uint32(part.byteLength)
    chunks.push(takeWritten(), part)
    at = 0
    uint8(FRAME_END)
  }
  chunks.push(takeWritten())
  return chunks
}

/** The size of these headers as they will be written, in bytes. */
export function headerBytes(headers: Headers): number {
  at = 0
  table(headers)
  return at
}

/** A copy of what was written so far. */
function takeWritten(): Buffer {
  const bytes = Buffer.allocUnsafe(at)
  scratch.copy(bytes, 0, 0, at)
  return bytes
}

/** @returns where its size goes, for {@link endFrame} */
function beginFrame(type: number, channel: number): number {
  uint8(type)
  uint16(channel)
  const size = at
  uint32(0)
  return size
}

function endFrame(size: number): void {
  scratch.writeUInt32BE(at - size - 4, size)
  uint8(FRAME_END)
}

function writeProperties(properties: OutgoingProperties): void {
  const flagsAt = at
  let flags = 0
  uint16(0)
  if (properties.contentType !== undefined) {
    flags |= 0x8000
    shortString(properties.contentType)
  }
  if (properties.contentEncoding !== undefined) {
    flags |= 0x4000
    shortString(properties.contentEncoding)
  }
  if (properties.headers !== undefined) {
    flags |= 0x2000
    const start = at
    if (properties.rawHeaders === undefined) table(properties.headers)
    else rawTable(properties.rawHeaders)
    if (at - start > MAX_HEADER_BYTES)
      throw new RangeError(`the headers take ${at - start} bytes; at most ${MAX_HEADER_BYTES} are allowed`)
  }
  if (properties.persistent) {
    flags |= 0x1000
    uint8(2)
  }
  if (properties.priority !== undefined) {
    flags |= 0x0800
    uint8(properties.priority)
  }
  if (properties.correlationId !== undefined) {
    flags |= 0x0400
    shortString(properties.correlationId)
  }
  if (properties.replyTo !== undefined) {
    flags |= 0x0200
    shortString(properties.replyTo)
  }
  if (properties.expiration !== undefined) {
    flags |= 0x0100
    shortString(properties.expiration)
  }
  if (properties.messageId !== undefined) {
    flags |= 0x0080
    shortString(properties.messageId)
  }
  if (properties.timestamp !== undefined) {
    flags |= 0x0040
    int64(BigInt(properties.timestamp))
  }
  if (properties.type !== undefined) {
    flags |= 0x0020
    shortString(properties.type)
  }
  if (properties.userId !== undefined) {
    flags |= 0x0010
    shortString(properties.userId)
  }
  if (properties.appId !== undefined) {
    flags |= 0x0008
    shortString(properties.appId)
  }
  scratch.writeUInt16BE(flags, flagsAt)
}

function table(entries: Headers, depth = 0): void {
  const size = at
  uint32(0)
  for (const key of Object.keys(entries)) {
    const value = entries[key]
    if (value === undefined) continue
    shortString(key)
    field(value, depth)
  }
  scratch.writeUInt32BE(at - size - 4, size)
}

function rawTable(entries: RawHeaders): void {
  const size = at
  uint32(0)
  for (const [key, value] of entries) {
    shortString(key)
    raw(value)
  }
  scratch.writeUInt32BE(at - size - 4, size)
}

function field(value: HeaderValue, depth: number): void {
  // what Python's decoder gives up on, a peer would be handed again and again
  if (depth > MAX_HEADER_DEPTH) throw new RangeError(`they are nested deeper than ${MAX_HEADER_DEPTH} levels`)
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new RangeError('a text holds a lone surrogate, which is no character')
    fieldType('S')
    longString(value)
  } else if (typeof value === 'number') {
    // the broker closes the connection on it
    if (!Number.isFinite(value)) throw new RangeError(`${value} is no number that AMQP can carry`)
    if (!Number.isSafeInteger(value)) {
      fieldType('d')
      room(8)
      at = scratch.writeDoubleBE(value, at)
    } else if (value === (value | 0)) {
      fieldType('I')
      room(4)
      at = scratch.writeInt32BE(value, at)
    } else {
      fieldType('l')
      int64(BigInt(value))
    }
  } else if (typeof value === 'bigint') {
    fieldType('l')
    int64(value)
  } else if (typeof value === 'boolean') {
    fieldType('t')
    uint8(value ? 1 : 0)
  } else if (value === null) {
    fieldType('V')
  } else if (value instanceof Date) {
    const seconds = Math.floor(value.getTime() / 1000)
    if (!(seconds >= 0 && seconds <= LAST_SECOND)) throw new RangeError('a date must lie between 1970 and 9999')
    fieldType('T')
    int64(BigInt(seconds))
  } else if (value instanceof Uint8Array) {
    fieldType('x')
    uint32(value.byteLength)
    raw(value)
  } else if (isList(value)) {
    fieldType('A')
    const size = at
    uint32(0)
    for (const item of value) field(item, depth + 1)
    scratch.writeUInt32BE(at - size - 4, size)
  } else if (isTable(value)) {
    fieldType('F')
    table(value, depth + 1)
  } else throw new RangeError(`${describe(value)} is nothing that AMQP can carry`)
}

function isTable(value: HeaderValue): value is { readonly [key: string]: HeaderValue } {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function isList(value: HeaderValue): value is readonly HeaderValue[] {
  return Array.isArray(value)
}

function room(bytes: number): void {
  if (at + bytes <= scratch.length) return
  const larger = Buffer.allocUnsafeSlow(Math.max(scratch.length * 2, at + bytes))
  scratch.copy(larger, 0, 0, at)
  scratch = larger
}

function fieldType(letter: string): void {
  uint8(letter.charCodeAt(0))
}

function uint8(value: number): void {
  room(1)
  scratch[at++] = value
}

function uint16(value: number): void {
  room(2)
  at = scratch.writeUInt16BE(value, at)
}

function uint32(value: number): void {
  room(4)
  at = scratch.writeUInt32BE(value, at)
}

function int64(value: bigint): void {
  room(8)
  at = scratch.writeBigInt64BE(value, at)
}

function raw(bytes: Uint8Array): void {
  room(bytes.byteLength)
  scratch.set(bytes, at)
  at += bytes.byteLength
}

function shortString(text: string): void {
  const { length } = text
  room(1 + length * 3)
  const start = at + 1
  const written = writeText(text, start)
  if (written > 255) throw new RangeError(`'${text.slice(0, 40)}…' is ${written} bytes long; AMQP allows 255`)
  scratch[at] = written
  at = start + written
}

function longString(text: string): void {
  room(4 + text.length * 3)
  const written = writeText(text, at + 4)
  scratch.writeUInt32BE(written, at)
  at += 4 + written
}

/** Short ASCII text, which names and ids are, is written faster by hand than by a call into the runtime. */
function writeText(text: string, start: number): number {
  const { length } = text
  if (length <= 40) {
    let i = 0
    for (; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 127) break
      scratch[start + i] = code
    }
    if (i === length) return length
  }
  return scratch.write(text, start, 'utf8')
}
