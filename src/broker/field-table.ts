/**
 * Tables of AMQP: headers, arguments, properties of clients. Values are kept as the bytes that came, with the letter of their type, so that
 * they leave as they came; only what the broker itself needs is looked into, one level deep.
 * Source: AMQP 0-9-1, section 4.2.5, and RabbitMQ's errata on the letters of types.
 */
import { unreadable } from './exceptions.ts'

/** A value: the letter of its type, and its bytes; those of strings, tables and arrays without the length before them. */
export interface Field {
  readonly type: string
  readonly bytes: Buffer
}

export type FieldTable = ReadonlyMap<string, Field>

const SIZES: Readonly<Record<string, number>> = {
  t: 1,
  b: 1,
  B: 1,
  s: 2,
  u: 2,
  I: 4,
  i: 4,
  f: 4,
  l: 8,
  d: 8,
  T: 8,
  D: 5,
  V: 0,
}
/** They have their length before them. */
const LONG = 'SxFA'
const TYPE_NAMES: Readonly<Record<string, string>> = {
  S: 'longstr',
  x: 'binary',
  F: 'table',
  A: 'array',
  t: 'bool',
  b: 'byte',
  B: 'unsignedbyte',
  s: 'short',
  u: 'unsignedshort',
  I: 'signedint',
  i: 'unsignedint',
  l: 'long',
  f: 'float',
  d: 'double',
  T: 'timestamp',
  D: 'decimal',
  V: 'void',
}

export const EMPTY_TABLE: FieldTable = new Map()

/** @throws AmqpException (541) when lengths or types make no sense */
export function readTable(bytes: Buffer): FieldTable {
  if (bytes.length === 0) return EMPTY_TABLE
  const table = new Map<string, Field>()
  for (let at = 0; at < bytes.length;) {
    const nameEnd = at + 1 + (bytes[at] ?? 0)
    const { field, end } = soundField(bytes, nameEnd)
    table.set(bytes.toString('latin1', at + 1, nameEnd), field)
    at = end
  }
  return table
}

/**
 * Reads a table to its depths, and keeps nothing. Without recursion: a frame has room for some thousand levels.
 * @returns whether lengths and types make sense, and each number is one
 */
export function isTable(bytes: Buffer): boolean {
  const open: Field[] = [{ type: 'F', bytes }]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (let at = 0; at < next.bytes.length;) {
      if (next.type === 'F') at += 1 + (next.bytes[at] ?? 0)
      const read = readField(next.bytes, at)
      if (read === undefined) return false
      const { field, end } = read
      if (field.type === 'F' || field.type === 'A') open.push(field)
      if ((field.type === 'f' || field.type === 'd') && !Number.isFinite(floatIn(field))) return false
      at = end
    }
  }
  return true
}

function floatIn({ type, bytes }: Field): number {
  return type === 'd' ? bytes.readDoubleBE() : bytes.readFloatBE()
}

/** @throws AmqpException (541) */
export function readArray(bytes: Buffer): readonly Field[] {
  const fields: Field[] = []
  for (let at = 0; at < bytes.length;) {
    const { field, end } = soundField(bytes, at)
    fields.push(field)
    at = end
  }
  return fields
}

/** @returns undefined when length or type make no sense */
function readField(bytes: Buffer, at: number): { field: Field; end: number } | undefined {
  const type = String.fromCharCode(bytes[at] ?? 0)
  let start = at + 1
  let length = SIZES[type]
  if (LONG.includes(type)) {
    if (start + 4 > bytes.length) return undefined
    length = bytes.readUInt32BE(start)
    start += 4
  }
  if (length === undefined || start + length > bytes.length) return undefined
  const end = start + length
  return { field: { type, bytes: bytes.subarray(start, end) }, end }
}

function soundField(bytes: Buffer, at: number): { field: Field; end: number } {
  const read = readField(bytes, at)
  if (read === undefined) throw unreadable()
  return read
}

/** The bytes of a table, without the length before them. */
export function writeTable(table: FieldTable): Buffer {
  const parts: Buffer[] = []
  for (const [name, field] of table) {
    const bytes = Buffer.from(name, 'latin1').subarray(0, 255)
    parts.push(Buffer.from([bytes.length]), bytes, ...writeField(field))
  }
  return Buffer.concat(parts)
}

function writeField({ type, bytes }: Field): Buffer[] {
  const letter = Buffer.from(type, 'latin1')
  return LONG.includes(type) ? [letter, uint32(bytes.length), bytes] : [letter, bytes]
}

export function stringField(text: string): Field {
  return { type: 'S', bytes: Buffer.from(text, 'latin1') }
}

export function booleanField(value: boolean): Field {
  return { type: 't', bytes: Buffer.from([value ? 1 : 0]) }
}

/** @param type `l`: 64 bits with sign, of a value that takes more the last ones, as RabbitMQ writes it; `T`: seconds since 1970 */
export function integerField(value: number, type: 'l' | 'T' = 'l'): Field {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt.asIntN(64, BigInt(value)))
  return { type, bytes }
}

export function tableField(table: FieldTable): Field {
  return { type: 'F', bytes: writeTable(table) }
}

export function arrayField(fields: readonly Field[]): Field {
  return { type: 'A', bytes: Buffer.concat(fields.flatMap(writeField)) }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** @returns undefined when it is no string */
export function textIn(field: Field | undefined): string | undefined {
  return field?.type === 'S' ? field.bytes.toString('latin1') : undefined
}

/** @returns undefined when it is no whole number */
export function integerIn(field: Field | undefined): number | undefined {
  const { type, bytes } = field ?? {}
  if (bytes === undefined) return undefined
  if (type === 'b') return bytes.readInt8()
  if (type === 'B') return bytes.readUInt8()
  if (type === 's') return bytes.readInt16BE()
  if (type === 'u') return bytes.readUInt16BE()
  if (type === 'I') return bytes.readInt32BE()
  if (type === 'i') return bytes.readUInt32BE()
  if (type === 'l' || type === 'T') return Number(bytes.readBigInt64BE())
  return undefined
}

/** @returns undefined when it is neither true nor false */
export function booleanIn(field: Field | undefined): boolean | undefined {
  return field?.type === 't' ? field.bytes[0] !== 0 : undefined
}

/** As RabbitMQ's texts call the type. */
export function typeNameOf({ type }: Field): string {
  return TYPE_NAMES[type] ?? 'unknown'
}

/** As RabbitMQ's texts show the value: numbers, strings, true or false. */
export function shownField(field: Field): string {
  const value = textIn(field) ?? integerIn(field) ?? booleanIn(field)
  return value === undefined ? field.bytes.toString('hex') : String(value)
}

/** What a person or JSON is shown of a table: numbers, strings, booleans, tables and arrays; other values as hexadecimal text. */
export function plainTable(table: FieldTable): Record<string, unknown> {
  return Object.fromEntries(Array.from(table, ([name, field]) => [name, plainField(field, 0)]))
}

function plainField(field: Field, depth: number): unknown {
  if (depth < 32 && field.type === 'F')
    return Object.fromEntries(
      Array.from(readTable(field.bytes), ([name, inner]) => [name, plainField(inner, depth + 1)]),
    )
  if (depth < 32 && field.type === 'A') return readArray(field.bytes).map((inner) => plainField(inner, depth + 1))
  if (field.type === 'd' || field.type === 'f') return floatIn(field)
  return textIn(field) ?? integerIn(field) ?? booleanIn(field) ?? field.bytes.toString('hex')
}
