/** A message as the broker keeps it: its properties stay the bytes that came, unless a dead letter has to say more. */
import { AmqpException, unreadable } from './exceptions.ts'
import {
  type FieldTable,
  EMPTY_TABLE,
  isTable,
  readArray,
  readTable,
  textIn,
  typeNameOf,
  writeTable,
} from './field-table.ts'
import { Reader } from './reader.ts'

export interface Message {
  readonly exchange: string
  /** The one that it was published with. */
  readonly routingKey: string
  /** Flags and values, as in a content header. */
  readonly properties: Buffer
  readonly body: Buffer
  /** The property `expiration`, in milliseconds. */
  readonly expirationMs: number | undefined
}

/** What the broker looks at among the properties. */
export interface KnownProperties {
  readonly headers: FieldTable
  readonly expiration: string | undefined
  readonly userId: string | undefined
  readonly replyTo: string | undefined
}

const HEADERS = 0x2000
const REPLY_TO = 0x0200
const EXPIRATION = 0x0100
/** The flags in the order of the values; what each value is made of. */
const VALUES: readonly (readonly [flag: number, kind: 'short string' | 'table' | 'octet' | 'time'])[] = [
  [0x8000, 'short string'],
  [0x4000, 'short string'],
  [HEADERS, 'table'],
  [0x1000, 'octet'],
  [0x0800, 'octet'],
  [0x0400, 'short string'],
  [REPLY_TO, 'short string'],
  [EXPIRATION, 'short string'],
  [0x0080, 'short string'],
  [0x0040, 'time'],
  [0x0020, 'short string'],
  [0x0010, 'short string'],
  [0x0008, 'short string'],
  [0x0004, 'short string'],
]
const USER_ID = 0x0010

/** @throws AmqpException (541) when they cannot be read */
export function readKnown(properties: Buffer): KnownProperties {
  const values = valuesOf(properties)
  const headers = values.get(HEADERS)?.subarray(4)
  return {
    headers: headers === undefined ? EMPTY_TABLE : readTable(headers),
    expiration: values.get(EXPIRATION)?.toString('latin1', 1),
    userId: values.get(USER_ID)?.toString('latin1', 1),
    replyTo: values.get(REPLY_TO)?.toString('latin1', 1),
  }
}

/** @throws AmqpException (541) when they, or the headers in any depth, cannot be read */
export function checkProperties(properties: Buffer): void {
  const headers = valuesOf(properties).get(HEADERS)?.subarray(4)
  if (headers !== undefined && !isTable(headers)) throw unreadable()
}

/** The same properties with other headers. */
export function withHeaders(properties: Buffer, headers: FieldTable, { keepsExpiration = true } = {}): Buffer {
  const values = new Map(valuesOf(properties))
  const table = writeTable(headers)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(table.length)
  values.set(HEADERS, Buffer.concat([length, table]))
  if (!keepsExpiration) values.delete(EXPIRATION)
  let flags = 0
  const parts: Buffer[] = []
  for (const [flag] of VALUES) {
    const value = values.get(flag)
    if (value === undefined) continue
    flags |= flag
    parts.push(value)
  }
  const head = Buffer.alloc(2)
  head.writeUInt16BE(flags)
  return Buffer.concat([head, ...parts])
}

/** Further routing keys that the sender named in a header. @throws AmqpException (406) when it is no list */
export function keysIn(headers: FieldTable, name: 'CC' | 'BCC'): readonly string[] {
  const field = headers.get(name)
  if (field === undefined) return []
  if (field.type !== 'A')
    throw new AmqpException(406, `invalid message: {unacceptable_type_in_header,"${name}",${typeNameOf(field)}}`)
  return readArray(field.bytes)
    .map((item) => textIn(item))
    .filter((key) => key !== undefined)
}

/** The bytes of each value, with the length before it. */
function valuesOf(properties: Buffer): ReadonlyMap<number, Buffer> {
  const reader = new Reader(properties)
  const flags = reader.uint16()
  const values = new Map<number, Buffer>()
  // it says that more flags follow; AMQP has none
  if ((flags & 0x0001) !== 0) throw unreadable()
  for (const [flag, kind] of VALUES) {
    if ((flags & flag) === 0) continue
    values.set(flag, reader.value(kind))
  }
  if (!reader.isAtEnd) throw unreadable()
  return values
}
