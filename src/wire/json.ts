/**
 * Payloads as JSON in UTF-8: what a peer reads is what was sent, or nothing is sent.
 *
 * Beyond JSON.stringify and JSON.parse: values that JSON changes silently are refused, as are invalid UTF-8, a byte
 * order mark, lone surrogates, and nesting that is too deep, which is found before anything is parsed. The two things
 * JSON.parse does are kept: integers beyond 2^53 are rounded, and the last of equal keys wins.
 */
import { Buffer, isUtf8 } from 'node:buffer'
import { PayloadDecodeError } from '../errors.ts'
import { isPlainObject, MAX_DEPTH } from './payload-model.ts'
import { refusalOf } from './payload-refusal.ts'
import { visible } from './text.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const LETTER_U = 0x75
const LETTER_D = 0x64
// '[' and '{', and ']' and '}', differ in one bit
const CASE_BIT = 0x20
const OPENING = 0x7b
const CLOSING = 0x7d

/**
 * Encodes a value as JSON. Properties that are undefined are left out; -0 becomes 0.
 * @throws PayloadEncodeError naming the path of the part that cannot be sent
 */
export function encodeJson(value: unknown): Buffer {
  try {
    if (isSendable(value, MAX_DEPTH)) return Buffer.from(JSON.stringify(value), 'utf8')
  } catch (error) {
    throw refusalOf(value, { format: 'json', bignums: false }, error)
  }
  throw refusalOf(value, { format: 'json', bignums: false }, new Error('it changed while it was encoded'))
}

function isSendable(value: unknown, depthLeft: number): boolean {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed()
    case 'number':
      return Number.isFinite(value)
    case 'boolean':
      return true
    case 'object':
      return value === null || isSendableObject(value, depthLeft)
    case 'bigint':
    case 'undefined':
    case 'function':
    case 'symbol':
      break
  }
  return false
}

function isSendableObject(value: object, depthLeft: number): boolean {
  if (depthLeft === 0) return false
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) if (!isSendable(value[i], depthLeft - 1)) return false
  } else {
    if (!isPlainObject(value)) return false
    for (const key of Object.keys(value)) {
      const item: unknown = Reflect.get(value, key)
      if (item !== undefined && !(key.isWellFormed() && isSendable(item, depthLeft - 1))) return false
    }
  }
  // JSON.stringify would send what the method returns, unchecked
  return !('toJSON' in value && typeof value.toJSON === 'function')
}

/**
 * Decodes a JSON text. Integers beyond 2^53 are rounded to the nearest number.
 * @throws PayloadDecodeError
 */
export function decodeJson(body: Uint8Array): unknown {
  if (!isUtf8(body)) throw new PayloadDecodeError('the JSON body is not valid UTF-8')
  if (body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf) {
    throw new PayloadDecodeError('the JSON body starts with a byte order mark; send UTF-8 without one')
  }
  const mayHaveLoneSurrogate = scan(body)
  const value = parse(body)
  if (mayHaveLoneSurrogate && !isWellFormed(value)) {
    throw new PayloadDecodeError('the JSON body has a string with a lone surrogate')
  }
  return value
}

/** Refuses what is nested too deep; tells whether a string has an escape that may stand for a lone surrogate. */
function scan(body: Uint8Array): boolean {
  const end = body.length
  let depth = 0
  let surrogates = false
  for (let i = 0; i < end; i++) {
    const byte = body[i]!
    if (byte === QUOTE) {
      while (++i < end && body[i] !== QUOTE) {
        if (body[i] !== BACKSLASH) continue
        i++
        if (body[i] === LETTER_U && (body[i + 1]! | CASE_BIT) === LETTER_D) surrogates = true
      }
    } else if ((byte | CASE_BIT) === OPENING) {
      if (++depth > MAX_DEPTH) throw new PayloadDecodeError(`the JSON body is nested deeper than ${MAX_DEPTH} levels`)
    } else if ((byte | CASE_BIT) === CLOSING) {
      depth--
    }
  }
  return surrogates
}

const QUOTATION = /,? (?:\.\.\.)?"[^]*"(?:\.\.\.)? is not valid JSON$|^"[^]*" is not valid JSON$/

function parse(body: Uint8Array): unknown {
  const buffer = Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  try {
    return JSON.parse(buffer.toString('utf8'))
  } catch (error) {
    // Node quotes a part of the text, which is nobody's business: neither that nor its error goes into logs
    const problem = (error as SyntaxError).message.replace(QUOTATION, '')
    throw new PayloadDecodeError(`the body is not JSON: ${visible(problem)}`)
  }
}

function isWellFormed(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value !== 'object' || value === null) return true
  if (Array.isArray(value)) return value.every(isWellFormed)
  return Object.entries(value).every(([key, item]) => key.isWellFormed() && isWellFormed(item))
}
