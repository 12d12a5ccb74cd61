/**
 * The properties and headers of a message that comes in, read by hand.
 *
 * The client library's own reader ends the connection on headers nested a few thousand levels deep, loses its place in the
 * stream after a `cluster_id`, whose bytes it then takes for frames, and sets prototypes for a header named `__proto__`: one such
 * message, delivered again and again, would stop a service for good. This reader never throws and never leaves the frame.
 * Source: AMQP 0-9-1, sections 2.3.5.2 and 4.2.5, and RabbitMQ's errata on field types.
 */
import { isUtf8 } from 'node:buffer'
import type { IncomingProperties } from '../wire/message.ts'
import { MAX_DEPTH } from '../wire/payload-model.ts'

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/**
 * Reads the property flags and the properties. `cluster_id`, which is of no use, is passed by.
 * @param bytes from the flags to the end of the frame's payload
 * @param keepRaw keeps the headers as they came, too
 * @returns what could be read; with `unreadable` where something could not
 */
export function readProperties(bytes: Buffer, keepRaw = false): IncomingProperties {
  const properties: Writable<IncomingProperties> = {}
  const raw = keepRaw ? new Map<string, Uint8Array>() : undefined
  if (raw !== undefined) properties.rawHeaders = raw
  try {
    readInto(properties, new Reader(bytes, 0, bytes.length), raw)
  } catch (error) {
    properties.unreadable = `its properties cannot be read: ${problemOf(error)}`
  }
  return properties
}

function readInto(
  properties: Writable<IncomingProperties>,
  reader: Reader,
  raw: Map<string, Uint8Array> | undefined,
): void {
  const flags = reader.uint16()
  if ((flags & 0x8000) !== 0) properties.contentType = reader.shortString()
  if ((flags & 0x4000) !== 0) properties.contentEncoding = reader.shortString()
  if ((flags & 0x2000) !== 0) {
    const headers = {}
    properties.headers = headers
    const table = reader.part()
    try {
      table.tableInto(headers, 1, raw)
    } catch (error) {
      properties.unreadable = `its headers cannot be read: ${problemOf(error)}`
    }
  }
  if ((flags & 0x1000) !== 0) properties.deliveryMode = reader.uint8()
  if ((flags & 0x0800) !== 0) properties.priority = reader.uint8()
  if ((flags & 0x0400) !== 0) properties.correlationId = reader.shortString()
  if ((flags & 0x0200) !== 0) properties.replyTo = reader.shortString()
  if ((flags & 0x0100) !== 0) properties.expiration = reader.shortString()
  if ((flags & 0x0080) !== 0) properties.messageId = reader.shortString()
  if ((flags & 0x0040) !== 0) properties.timestamp = reader.date()
  if ((flags & 0x0020) !== 0) properties.type = reader.shortString()
  if ((flags & 0x0010) !== 0) properties.userId = reader.shortString()
  if ((flags & 0x0008) !== 0) properties.appId = reader.shortString()
}

function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Reads a part of a frame, from its start to its end and no further. */
class Reader {
  readonly #bytes: Buffer
  readonly #end: number
  #at: number

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#pass(1))
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#pass(2))
  }

  /** Text by definition: what is not could be neither answered nor sent again as it is. */
  shortString(): string {
    const text = this.#text(this.uint8())
    if (typeof text !== 'string') throw new RangeError('a text in them is not UTF-8')
    return text
  }

  /** Invalid for what is out of the range of dates. */
  date(): Date {
    return new Date(Number(this.#bytes.readBigInt64BE(this.#pass(8))) * 1000)
  }

  /** What follows a length of four bytes. */
  part(): Reader {
    const length = this.#bytes.readUInt32BE(this.#pass(4))
    const start = this.#pass(length)
    return new Reader(this.#bytes, start, start + length)
  }

  tableInto(table: Record<string, unknown>, depth: number, raw?: Map<string, Uint8Array>): void {
    while (this.#at < this.#end) {
      const key = this.shortString()
      const start = this.#at
      const value = this.#field(depth)
      // the buffer of the frame is used again
      raw?.set(key, Uint8Array.from(this.#bytes.subarray(start, this.#at)))
      // it must become an own property like any other
      if (key === '__proto__') Object.defineProperty(table, key, { value, enumerable: true, writable: true })
      else table[key] = value
    }
  }

  #list(depth: number): unknown[] {
    const list: unknown[] = []
    while (this.#at < this.#end) list.push(this.#field(depth))
    return list
  }

  #field(depth: number): unknown {
    const type = String.fromCharCode(this.uint8())
    switch (type) {
      case 'S':
        return this.#text(this.#bytes.readUInt32BE(this.#pass(4)))
      case 'F': {
        const table = {}
        this.#nested(depth).tableInto(table, depth + 1)
        return table
      }
      case 'A':
        return this.#nested(depth).#list(depth + 1)
      case 'x':
        return this.part().#copy()
      case 't':
        return this.uint8() !== 0
      case 'T':
        return this.date()
      case 'V':
        return null
      default:
        return this.#number(type)
    }
  }

  #number(type: string): unknown {
    const bytes = this.#bytes
    switch (type) {
      case 'b':
        return bytes.readInt8(this.#pass(1))
      case 'B':
        return bytes.readUInt8(this.#pass(1))
      case 's':
      case 'U':
        return bytes.readInt16BE(this.#pass(2))
      case 'u':
        return bytes.readUInt16BE(this.#pass(2))
      case 'I':
        return bytes.readInt32BE(this.#pass(4))
      case 'i':
        return bytes.readUInt32BE(this.#pass(4))
      case 'l':
      case 'L': {
        const value = bytes.readBigInt64BE(this.#pass(8))
        return Number.isSafeInteger(Number(value)) ? Number(value) : value
      }
      case 'f':
        return bytes.readFloatBE(this.#pass(4))
      case 'd':
        return bytes.readDoubleBE(this.#pass(8))
      case 'D': {
        const scale = this.uint8()
        return bytes.readInt32BE(this.#pass(4)) / 10 ** scale
      }
      default:
        throw new RangeError(`field type 0x${type.charCodeAt(0).toString(16)} is unknown`)
    }
  }

  #nested(depth: number): Reader {
    if (depth >= MAX_DEPTH) throw new RangeError(`they are nested deeper than ${MAX_DEPTH} levels`)
    return this.part()
  }

  /** @returns the bytes where they are no UTF-8 */
  #text(length: number): string | Uint8Array {
    const start = this.#pass(length)
    const text = this.#bytes.toString('utf8', start, start + length)
    if (!text.includes('\ufffd')) return text
    const bytes = this.#bytes.subarray(start, start + length)
    // the buffer of the frame is used again
    return isUtf8(bytes) ? text : Uint8Array.from(bytes)
  }

  /** The buffer of the frame is used again. */
  #copy(): Uint8Array {
    return Uint8Array.from(this.#bytes.subarray(this.#at, this.#end))
  }

  /** @returns where these bytes begin */
  #pass(length: number): number {
    const start = this.#at
    if (length > this.#end - start)
      throw new RangeError(`${length} bytes are announced where ${this.#end - start} are left`)
    this.#at = start + length
    return start
  }
}
