/**
 * Reads payloads from CBOR (RFC 8949): the data model of JSON, integers of any size and byte strings, nothing else.
 *
 * The body is from anyone: every length is checked before anything is allocated for it, and depth, items and bignums
 * are limited, so time and memory stay proportional to the body. Byte strings are views of the body, not copies.
 */
import { Buffer, isUtf8 } from 'node:buffer'
import { PayloadDecodeError } from '../errors.ts'
import { MAX_BIGNUM_BYTES, MAX_DEPTH, MAX_ITEMS } from './payload-model.ts'
import { visible } from './text.ts'

const BYTES = 2
const TEXT = 3
const INDEFINITE = 31
const BREAK_BYTE = 0xff
const INDEFINITE_TEXT = 0x7f

const TWO_32 = 0x1_0000_0000
/** The upper halves of 64-bit integers from this one on are beyond Number.MAX_SAFE_INTEGER. */
const UNSAFE_UPPER_HALF = 0x20_0000

/** Up to this length a JavaScript loop reads ASCII text faster than a call into native code. */
const SHORT_TEXT = 24
/** Keys up to this length are kept, to be recognized when they come again. */
const MAX_CACHED_KEY = 32
const KEY_CACHE_SIZE = 1024
const MAX_QUOTED_KEY = 60

/** What Python programs are most likely to send that payloads cannot hold. */
const TAG_NAMES = new Map<number | bigint, string>([
  [0, 'a datetime; send text or seconds'],
  [1, 'a datetime; send text or seconds'],
  [4, 'a Decimal; send text or a float'],
  [28, 'a shared value; send it without value_sharing'],
  [30, 'a Fraction; send text or a float'],
  [37, 'a UUID; send text'],
  [258, 'a set; send a list'],
])

// One body is read at a time, and reading calls no code of the user, so the reader's state is the module's.
const NOTHING = Buffer.alloc(0)
const NOTHING_VIEW = new DataView(new ArrayBuffer(0))
let body: Buffer = NOTHING
let view: DataView = NOTHING_VIEW
let position = 0
let end = 0
let itemsLeft = 0

/** ASCII keys seen lately, by a hash of their bytes. A key is taken from here only when all its bytes are equal. */
const keyCache: string[] = Array.from({ length: KEY_CACHE_SIZE }, () => '')

/**
 * Decodes a body that holds exactly one CBOR item. Integers come out as numbers up to 2^53 - 1 and as bigints beyond.
 * @throws PayloadDecodeError with the offset of the problem
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  body = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  position = 0
  end = body.length
  itemsLeft = MAX_ITEMS
  try {
    const value = readItem(MAX_DEPTH, 0)
    if (position !== end) fail('more bytes follow the value', position)
    return value
  } finally {
    body = NOTHING
    view = NOTHING_VIEW
  }
}

function fail(problem: string, offset: number): never {
  throw new PayloadDecodeError(`the CBOR body is not a payload: ${problem} (at byte ${offset} of ${end})`)
}

/**
 * Reads one item. `owed` is the number of bytes that the containers around it need at least once it is read: lengths are
 * checked against what is left after that, so that containers inside each other cannot all claim the same bytes.
 */
function readItem(depthLeft: number, owed: number): unknown {
  if (position >= end) fail('it is cut off', position)
  const initial = byteAt(position++)
  const info = initial & 31
  switch (initial >> 5) {
    case 0:
      return info < 24 ? info : readArgument(info)
    case 1:
      return negative(readArgument(info))
    case BYTES:
      return info === INDEFINITE
        ? Buffer.concat(readChunks(BYTES, readBytes))
        : readBytes(readLength(info, 'byte string'))
    case TEXT:
      return readText(info)
    case 4:
      return readArray(info, depthLeft, owed)
    case 5:
      return readMap(info, depthLeft, owed)
    case 6:
      return readBignum(info)
    default:
      return info === 27 ? view.getFloat64(take(8)) : readSimple(info)
  }
}

function byteAt(offset: number): number {
  return body[offset]!
}

/** Passes over `count` bytes and returns where they start. */
function take(count: number): number {
  const start = position
  if (count > end - start) fail('it is cut off', end)
  position = start + count
  return start
}

/** Reads the argument of an initial byte: a number up to 2^53 - 1, a bigint beyond. */
function readArgument(info: number): number | bigint {
  switch (info) {
    case 24:
      return byteAt(take(1))
    case 25:
      return view.getUint16(take(2))
    case 26:
      return view.getUint32(take(4))
    case 27: {
      const start = take(8)
      const upper = view.getUint32(start)
      return upper < UNSAFE_UPPER_HALF ? upper * TWO_32 + view.getUint32(start + 4) : view.getBigUint64(start)
    }
    default:
      return info < 24 ? info : fail(`the additional information ${info} is not allowed here`, position - 1)
  }
}

/** Reads the length of a string and checks it against what is left of the body. */
function readLength(info: number, what: string): number {
  const start = position - 1
  const length = info < 24 ? info : readArgument(info)
  if (typeof length === 'bigint' || length > end - position) fail(`a ${what} is longer than the body`, start)
  return length
}

function negative(argument: number | bigint): number | bigint {
  if (typeof argument === 'bigint') return -1n - argument
  return argument < Number.MAX_SAFE_INTEGER ? -1 - argument : -1n - BigInt(argument)
}

function readBytes(length: number): Buffer {
  const start = position
  position += length
  return body.subarray(start, position)
}

function readText(info: number): string {
  if (info === INDEFINITE) return readChunks(TEXT, readCharacters).join('')
  return readCharacters(readLength(info, 'text string'))
}

function readCharacters(length: number): string {
  const start = position
  const stop = start + length
  position = stop
  if (length < SHORT_TEXT) {
    let text = ''
    let i = start
    for (; i < stop; i++) {
      const byte = byteAt(i)
      if (byte > 0x7f) break
      text += String.fromCharCode(byte)
    }
    if (i === stop) return text
  }
  const text = body.toString('utf8', start, stop)
  // what is not UTF-8 decodes to at least one U+FFFD: the exact check is needed only where there is one
  if (text.includes('\ufffd') && !isUtf8(body.subarray(start, stop))) fail('a text string is not UTF-8', start)
  return text
}

/** Reads an indefinite-length string: definite-length chunks of the same major type up to a break. */
function readChunks<Chunk>(major: number, read: (length: number) => Chunk): Chunk[] {
  const chunks: Chunk[] = []
  for (;;) {
    const start = take(1)
    const initial = byteAt(start)
    if (initial === BREAK_BYTE) return chunks
    if (initial >> 5 !== major) fail('a chunk of a string has the wrong type', start)
    // an empty chunk costs as much as any other
    countItems(1, start)
    chunks.push(read(readLength(initial & 31, 'chunk')))
  }
}

function countItems(count: number, offset: number): void {
  itemsLeft -= count
  if (itemsLeft < 0) fail(`it has more than ${MAX_ITEMS} items`, offset)
}

/**
 * Checks all limits and reads the length of an array, whose elements are one item each, or of a map, where they are two:
 * -1 when the end is marked by a break. An item takes at least one byte.
 */
function enterContainer(info: number, depthLeft: number, itemsEach: number, owed: number): number {
  const start = position - 1
  if (depthLeft === 0) fail(`it is nested deeper than ${MAX_DEPTH} levels`, start)
  if (info === INDEFINITE) return -1
  const count = info < 24 ? info : readArgument(info)
  if (typeof count === 'bigint' || count * itemsEach > end - position - owed) {
    fail('an array or a map is longer than the body', start)
  }
  countItems(count * itemsEach, start)
  return count
}

function readArray(info: number, depthLeft: number, owed: number): unknown[] {
  const count = enterContainer(info, depthLeft, 1, owed)
  if (count < 0) return readIndefiniteArray(depthLeft, owed)
  // oxlint-disable-next-line no-new-array -- a quarter faster than growing; the limits bound the count
  const array: unknown[] = new Array(count)
  for (let i = 0; i < count; i++) array[i] = readItem(depthLeft - 1, owed + count - 1 - i)
  return array
}

function readIndefiniteArray(depthLeft: number, owed: number): unknown[] {
  const array: unknown[] = []
  while (!readBreak()) {
    countItems(1, position)
    array.push(readItem(depthLeft - 1, owed + 1))
  }
  return array
}

function readMap(info: number, depthLeft: number, owed: number): object {
  const count = enterContainer(info, depthLeft, 2, owed)
  const map: Record<string, unknown> = {}
  if (count < 0) {
    while (!readBreak()) {
      countItems(2, position)
      readEntry(map, depthLeft, owed + 1)
    }
    return map
  }
  for (let i = 0; i < count; i++) readEntry(map, depthLeft, owed + 2 * (count - 1 - i))
  return map
}

function readBreak(): boolean {
  if (position >= end || body[position] !== BREAK_BYTE) return false
  position++
  return true
}

function readEntry(map: Record<string, unknown>, depthLeft: number, owed: number): void {
  const start = position
  const key = readKey()
  // one look at the whole prototype chain finds equal keys, and '__proto__' and other names that objects inherit
  if (!(key in map)) {
    map[key] = readItem(depthLeft - 1, owed)
    return
  }
  if (Object.hasOwn(map, key)) fail(`the key ${quoted(key)} comes twice in a map`, start)
  const value = readItem(depthLeft - 1, owed)
  Object.defineProperty(map, key, { value, writable: true, enumerable: true, configurable: true })
}

function readKey(): string {
  const start = take(1)
  const initial = byteAt(start)
  if (initial >> 5 !== TEXT) fail('a map has a key that is not text', start)
  if (initial === INDEFINITE_TEXT) return readText(INDEFINITE)
  const length = readLength(initial & 31, 'text string')
  return length > 0 && length <= MAX_CACHED_KEY ? readShortKey(length) : readCharacters(length)
}

function readShortKey(length: number): string {
  const start = position
  const sample = byteAt(start) * 5 + byteAt(start + (length >> 1)) * 9 + byteAt(start + length - 1) * 17
  const slot = (length + sample) % KEY_CACHE_SIZE
  const cached = keyCache[slot]!
  if (cached.length === length) {
    let i = 0
    while (i < length && cached.charCodeAt(i) === body[start + i]) i++
    if (i === length) {
      position = start + length
      return cached
    }
  }
  const key = readCharacters(length)
  // as many characters as bytes: ASCII
  if (key.length === length) keyCache[slot] = key
  return key
}

function readBignum(info: number): number | bigint {
  const start = position - 1
  const tag = readArgument(info)
  if (tag !== 2 && tag !== 3) {
    const name = TAG_NAMES.get(tag)
    fail(`tag ${tag} is not allowed${name === undefined ? '' : ` (${name})`}`, start)
  }
  const content = byteAt(take(1))
  if (content >> 5 !== BYTES) fail('a bignum is not a byte string', start)
  const chunks =
    (content & 31) === INDEFINITE ? readChunks(BYTES, readBytes) : [readBytes(readLength(content & 31, 'bignum'))]
  if (chunks.reduce((sum, { length }) => sum + length, 0) > MAX_BIGNUM_BYTES) {
    fail(`a bignum has more than ${MAX_BIGNUM_BYTES} bytes`, start)
  }
  const magnitude = BigInt(`0x0${Buffer.concat(chunks).toString('hex')}`)
  const value = tag === 2 ? magnitude : -1n - magnitude
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

function readSimple(info: number): unknown {
  switch (info) {
    case 20:
      return false
    case 21:
      return true
    case 22:
      return null
    case 23:
      return fail('undefined is not allowed', position - 1)
    case 25:
      return float16(view.getUint16(take(2)))
    case 26:
      return view.getFloat32(take(4))
    case INDEFINITE:
      return fail('a break stands where a value is due', position - 1)
    default:
      return fail('a simple value is not allowed', position - 1)
  }
}

function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

function quoted(key: string): string {
  return visible(JSON.stringify(key.length > MAX_QUOTED_KEY ? `${key.slice(0, MAX_QUOTED_KEY)}…` : key))
}
