/**
 * Writes payloads as CBOR (RFC 8949): the data model of JSON, integers of any size and byte strings.
 *
 * Integers take their shortest form, other numbers 64 bits, keys keep their order: the bytes that Python's cbor2 writes.
 * What a peer would read as another value is refused, never converted. The bytes share no memory with the value.
 */
import { Buffer } from 'node:buffer'
import { types } from 'node:util'
import { PayloadEncodeError } from '../errors.ts'
import { isPlainObject, MAX_BIGNUM_BYTES, MAX_DEPTH, MAX_ITEMS } from './payload-model.ts'
import { refusalOf } from './payload-refusal.ts'

export interface CborEncodeOptions {
  /**
   * Whether integers beyond 64 bits are written (tags 2 and 3, 256 bytes at most) or refused.
   * @default true
   */
  readonly bignums?: boolean
}

// initial bytes: the major type in the upper three bits
const UNSIGNED = 0x00
const NEGATIVE = 0x20
const BYTES = 0x40
const TEXT = 0x60
const ARRAY = 0x80
const MAP = 0xa0
const POSITIVE_BIGNUM = 0xc2
const NEGATIVE_BIGNUM = 0xc3
const FALSE = 0xf4
const TRUE = 0xf5
const NULL = 0xf6
const FLOAT16 = 0xf9
const FLOAT64 = 0xfb

/** The longest head, and the longest number. */
const HEAD_BYTES = 9
const TWO_32 = 0x1_0000_0000
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER)
const MAX_64 = 0xffff_ffff_ffff_ffffn

const SCRATCH_BYTES = 16_384
/** A scratch buffer that grew beyond this is not kept. */
const MAX_KEPT_SCRATCH_BYTES = 1 << 20
/** Byte strings from this size on are copied once, into the result, and not through the scratch buffer. */
const DIRECT_COPY_BYTES = 4096
/** Up to this length a JavaScript loop writes ASCII text faster than a call into native code. */
const SHORT_TEXT = 40

// One payload is written at a time, so the writer's state is the module's: that is what makes it as fast as JSON.
let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
let used = 0
let parts: Uint8Array[] = []
let partsBytes = 0
let itemsLeft = 0
let withBignums = true
let busy = false

/**
 * Encodes a value as one CBOR item.
 * @throws PayloadEncodeError naming the path of the part that cannot be sent; also when called by a getter of a value
 * that is being encoded
 */
export function encodeCbor(value: unknown, options: CborEncodeOptions = {}): Buffer {
  if (busy) {
    throw new PayloadEncodeError(
      'a payload cannot be encoded while another one is: this was called by a getter of that one; compute the value first',
    )
  }
  const bignums = options.bignums ?? true
  begin(bignums)
  try {
    writeValue(value, MAX_DEPTH)
    return finish()
  } catch (error) {
    throw refusalOf(value, { format: 'cbor', bignums }, error)
  } finally {
    release()
  }
}

function begin(bignums: boolean): void {
  busy = true
  used = 0
  itemsLeft = MAX_ITEMS
  withBignums = bignums
}

function finish(): Buffer {
  const tail = scratch.subarray(0, used)
  if (parts.length === 0) return Buffer.from(tail)
  const bytes = partsBytes + used
  parts.push(tail)
  const whole = Buffer.concat(parts)
  if (whole.length !== bytes) refuse('bytes were resized while they were encoded')
  return whole
}

function release(): void {
  busy = false
  parts = []
  partsBytes = 0
  if (scratch.length > MAX_KEPT_SCRATCH_BYTES) scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
}

/** Gives up without saying where: the path is looked for only then, in a second walk. */
function refuse(reason: string): never {
  throw new Error(reason)
}

function writeValue(value: unknown, depthLeft: number): void {
  switch (typeof value) {
    case 'string':
      writeText(value)
      return
    case 'number':
      writeNumber(value)
      return
    case 'boolean':
      writeByte(value ? TRUE : FALSE)
      return
    case 'object':
      if (value === null) writeByte(NULL)
      else writeObject(value, depthLeft)
      return
    case 'bigint':
      writeBigInt(value)
      return
    case 'undefined':
    case 'function':
    case 'symbol':
      refuse(typeof value)
  }
}

function writeObject(value: object, depthLeft: number): void {
  if (Array.isArray(value)) writeArray(value, depthLeft)
  else if (isPlainObject(value)) writeMap(value, depthLeft)
  else if (types.isUint8Array(value)) writeBytes(value)
  else refuse('an object that is not data')
}

function writeArray(array: readonly unknown[], depthLeft: number): void {
  const length = array.length
  enter(length, depthLeft)
  room(HEAD_BYTES)
  writeHead(ARRAY, length)
  for (let i = 0; i < length; i++) writeValue(array[i], depthLeft - 1)
}

function writeMap(map: object, depthLeft: number): void {
  // all values are read before any is written: getters cannot change what was counted
  const keys = Object.keys(map)
  const values: readonly unknown[] = Object.values(map)
  const length = keys.length
  if (values.length !== length) refuse('the object changed while it was encoded')
  let entries = length
  for (let i = 0; i < length; i++) if (values[i] === undefined) entries--
  enter(2 * entries, depthLeft)
  room(HEAD_BYTES)
  writeHead(MAP, entries)
  for (let i = 0; i < length; i++) {
    const value = values[i]
    if (value === undefined) continue
    writeText(keys[i]!)
    writeValue(value, depthLeft - 1)
  }
}

function enter(items: number, depthLeft: number): void {
  if (depthLeft === 0) refuse('too deep')
  itemsLeft -= items
  if (itemsLeft < 0) refuse('too many items')
}

function writeText(text: string): void {
  const length = text.length
  if (length < SHORT_TEXT && writeShortAscii(text, length)) return
  if (!text.isWellFormed()) refuse('lone surrogate')
  const bytes = Buffer.byteLength(text, 'utf8')
  room(bytes + HEAD_BYTES)
  writeHead(TEXT, bytes)
  used += scratch.write(text, used, bytes, 'utf8')
}

/** Returns false, with nothing written, when the text is not ASCII. */
function writeShortAscii(text: string, length: number): boolean {
  room(length + HEAD_BYTES)
  const buffer = scratch
  let position = used + (length < 24 ? 1 : 2)
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return false
    buffer[position++] = code
  }
  writeHead(TEXT, length)
  used = position
  return true
}

function writeBytes(bytes: Uint8Array): void {
  const length = bytes.byteLength
  if (length < DIRECT_COPY_BYTES) {
    room(length + HEAD_BYTES)
    writeHead(BYTES, length)
    // throws when the memory went to another thread, which makes it look empty
    scratch.set(bytes, used)
    used += length
    return
  }
  room(HEAD_BYTES)
  writeHead(BYTES, length)
  parts.push(Buffer.from(scratch.subarray(0, used)), bytes)
  partsBytes += used + length
  used = 0
}

function writeNumber(value: number): void {
  room(HEAD_BYTES)
  if (Number.isSafeInteger(value)) {
    if (value < 0) return writeHead(NEGATIVE, -1 - value)
    if (value !== 0 || !Object.is(value, -0)) return writeHead(UNSIGNED, value)
  }
  if (Number.isFinite(value)) {
    scratch[used++] = FLOAT64
    used = scratch.writeDoubleBE(value, used)
  } else {
    scratch[used++] = FLOAT16
    scratch[used++] = Number.isNaN(value) ? 0x7e : value > 0 ? 0x7c : 0xfc
    scratch[used++] = 0
  }
}

function writeBigInt(value: bigint): void {
  const negative = value < 0n
  const magnitude = negative ? -1n - value : value
  if (magnitude > MAX_64) return writeBignum(negative, magnitude)
  room(HEAD_BYTES)
  const major = negative ? NEGATIVE : UNSIGNED
  if (magnitude <= MAX_SAFE) return writeHead(major, Number(magnitude))
  scratch[used++] = major | 27
  used = scratch.writeBigUInt64BE(magnitude, used)
}

function writeBignum(negative: boolean, magnitude: bigint): void {
  if (!withBignums) refuse('beyond 64 bits')
  const digits = magnitude.toString(16)
  const bytes = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex')
  if (bytes.length > MAX_BIGNUM_BYTES) refuse('bignum too large')
  writeByte(negative ? NEGATIVE_BIGNUM : POSITIVE_BIGNUM)
  writeBytes(bytes)
}

function writeByte(byte: number): void {
  room(1)
  scratch[used++] = byte
}

/** Writes an initial byte and its argument, an integer from 0 to 2^53 - 1. The caller has made room. */
function writeHead(major: number, argument: number): void {
  if (argument < 24) {
    scratch[used++] = major | argument
  } else if (argument < 0x100) {
    scratch[used++] = major | 24
    scratch[used++] = argument
  } else if (argument < 0x1_0000) {
    scratch[used++] = major | 25
    scratch[used++] = argument >> 8
    scratch[used++] = argument
  } else if (argument < TWO_32) {
    scratch[used++] = major | 26
    used = scratch.writeUInt32BE(argument, used)
  } else {
    scratch[used++] = major | 27
    used = scratch.writeUInt32BE(Math.floor(argument / TWO_32), used)
    used = scratch.writeUInt32BE(argument % TWO_32, used)
  }
}

function room(bytes: number): void {
  const needed = used + bytes
  if (needed <= scratch.length) return
  let size = scratch.length * 2
  while (size < needed) size *= 2
  const larger = Buffer.allocUnsafeSlow(size)
  scratch.copy(larger, 0, 0, used)
  scratch = larger
}
