/** A message as the broker keeps it: its properties stay the bytes that came, unless a dead letter has to say more. */
import { AmqpException } from './exceptions.ts'
import { type Field, type FieldTable, EMPTY_TABLE, readArray, readTable, textIn, writeTable } from './field-table.ts'
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
}

const HEADERS = 0x2000
const EXPIRATION = 0x0100
/** The flags in the order of the values; what each value is made of. */
const VALUES: readonly (readonly [flag: number, kind: 'short string' | 'table' | 'octet' | 'time'])[] = [
  [0x8000, 'short string'],
  [0x4000, 'short string'],
  [HEADERS, 'table'],
  [0x1000, 'octet'],
  [0x0800, 'octet'],
  [0x0400, 'short string'],
  [0x0200, 'short string'],
  [EXPIRATION, 'short string'],
  [0x0080, 'short string'],
  [0x0040, 'time'],
  [0x0020, 'short string'],
  [0x0010, 'short string'],
  [0x0008, 'short string'],
  [0x0004, 'short string'],
]
const USER_ID = 0x0010

/** @throws AmqpException (502) when they cannot be read */
export function readKnown(properties: Buffer): KnownProperties {
  const values = valuesOf(properties)
  const headers = values.get(HEADERS)
  return {
    headers: headers === undefined ? EMPTY_TABLE : readTable(headers.subarray(4)),
    expiration: values.get(EXPIRATION)?.subarray(1).toString(),
    userId: values.get(USER_ID)?.subarray(1).toString(),
  }
}

/** The same properties with other headers, and without an expiration. */
export function withHeaders(properties: Buffer, headers: FieldTable): Buffer {
  const values = new Map(valuesOf(properties))
  const table = writeTable(headers)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(table.length)
  values.set(HEADERS, Buffer.concat([length, table]))
  values.delete(EXPIRATION)
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

/** Further routing keys that the sender named in a header. @throws AmqpException (406) when it is no list of strings */
export function keysIn(headers: FieldTable, name: 'CC' | 'BCC'): readonly string[] {
  const field = headers.get(name)
  if (field === undefined) return []
  const items: readonly Field[] = field.type === 'A' ? readArray(field.bytes) : []
  const keys = items.map((item) => textIn(item))
  if (field.type !== 'A' || keys.includes(undefined))
    throw new AmqpException(406, `invalid ${name} header: must be a list of strings`)
  return keys.filter((key) => key !== undefined)
}

/** The bytes of each value, with the length before it. */
function valuesOf(properties: Buffer): ReadonlyMap<number, Buffer> {
  const reader = new Reader(properties)
  const flags = reader.uint16()
  const values = new Map<number, Buffer>()
  if ((flags & 0x0003) !== 0) throw new AmqpException(540, 'property flags beyond the first 16 bits')
  for (const [flag, kind] of VALUES) {
    if ((flags & flag) === 0) continue
    values.set(flag, reader.value(kind))
  }
  return values
}
