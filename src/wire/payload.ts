/**
 * Payloads: values in, bytes out, and back, in the two formats of the bus.
 *
 * A value is read back by a peer, in TypeScript or Python, as what was sent, or it is refused before it is sent. A body
 * from a hostile peer costs time and memory in proportion to its size, and never more than an error.
 */
import { Buffer } from 'node:buffer'
import { PayloadDecodeError } from '../errors.ts'
import { decodeCbor } from './cbor-decode.ts'
import { encodeCbor } from './cbor-encode.ts'
import { decodeJson, encodeJson } from './json.ts'
import { visible } from './text.ts'

/** How a payload is written: the two content types of the bus. */
export type ContentType = 'application/cbor' | 'application/json'

/** The short name of a content type, in settings and options. */
export type PayloadFormat = 'cbor' | 'json'

/**
 * What can travel as a payload, 128 levels deep at most.
 *
 * - `number`: safe integers arrive as integers, others as floats; JSON carries no NaN and no Infinity, and loses the
 *   sign of -0. Integers beyond 2^53 that come as JSON are rounded.
 * - `bigint` (CBOR only): 64 bits, from -2^64 to 2^64 - 1. Integers within ±(2^53 - 1) arrive as numbers.
 * - `string`: without lone surrogates.
 * - `Uint8Array` (CBOR only), `Buffer` too. It arrives as a view of the body of the message: a small one that is kept
 *   for long keeps the whole body; copy it then (`new Uint8Array(bytes)`).
 * - arrays without holes, and plain objects: their own enumerable string keys, in their order (JavaScript puts keys such
 *   as '12' first). Properties that are undefined are left out. `__proto__` is a key like any other.
 *
 * CBOR takes 1,000,000 items in all: the elements of arrays, the keys and the values of objects.
 */
export type PayloadValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly PayloadValue[]
  | { readonly [key: string]: PayloadValue | undefined }

const NO_BIGNUMS = { bignums: false }

/** The content type of a format. */
export function contentTypeOf(format: PayloadFormat): ContentType {
  return format === 'cbor' ? 'application/cbor' : 'application/json'
}

/**
 * Encodes a payload. The bytes share no memory with the value.
 * @param value a {@link PayloadValue}; anything else is refused
 * @throws PayloadEncodeError naming the path of the part that cannot be sent and what to send instead
 */
export function encodePayload(value: unknown, format: PayloadFormat): Buffer {
  return format === 'cbor' ? encodeCbor(value, NO_BIGNUMS) : encodeJson(value)
}

/**
 * Decodes the body of a message: CBOR when the content type is exactly `application/cbor`, JSON otherwise. An empty body
 * is null. The result is a {@link PayloadValue}, with bigints beyond 64 bits (up to 256 bytes) where Python sent some.
 * @throws PayloadDecodeError and nothing else
 */
export function decodePayload(body: Uint8Array, contentType: string | undefined): unknown {
  if (body.length === 0) return null
  try {
    return contentType === 'application/cbor' ? decodeCbor(body) : decodeJson(body)
  } catch (error) {
    throw decodeErrorOf(error, contentType)
  }
}

function decodeErrorOf(error: unknown, contentType: string | undefined): PayloadDecodeError {
  const known = contentType === 'application/cbor' || contentType === 'application/json'
  if (error instanceof PayloadDecodeError && known) return error
  const problem = error instanceof Error ? error.message : String(error)
  const type = contentType === undefined ? 'none' : `'${visible(contentType)}'`
  const note = known ? '' : ` (content_type is ${type}: only 'application/cbor' is read as CBOR, all else as JSON)`
  return new PayloadDecodeError(`${problem}${note}`, { cause: error })
}
