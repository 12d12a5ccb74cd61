/**
 * A second opinion on CBOR: the `cborg` library, made as strict as ours is. It differs in one point that its parser
 * leaves no choice in: it refuses indefinite-length strings.
 */
import { decode, encode, Token, Tokenizer, Type } from 'cborg'
import type { DecodeOptions, EncodeOptions, TagDecoder, TypeEncoder } from 'cborg'
import { bigIntEncoder, negativeZeroEncoder } from 'cborg/taglib'
import { MAX_BIGNUM_BYTES, MAX_DEPTH } from '../../src/wire/payload-model.ts'

/** The message of the oracle for what it alone refuses. */
export const INDEFINITE_STRING = /indefinite length bytes\/strings/

const encodeOptions: EncodeOptions = {
  float64: true,
  ignoreUndefinedProperties: true,
  typeEncoders: {
    number: negativeZeroEncoder,
    bigint: bigIntEncoder,
    string: refuseUnless((text) => typeof text === 'string' && text.isWellFormed(), 'a lone surrogate'),
    undefined: refuseUnless(() => false, 'undefined'),
    Map: refuseUnless(() => false, 'a Map'),
  },
}
// keys keep their order only when this is there and undefined
Object.assign(encodeOptions, { mapSorter: undefined })

function refuseUnless(holds: (value: unknown) => boolean, what: string): TypeEncoder {
  return (value: unknown) => {
    if (!holds(value)) throw new Error(`${what} cannot be encoded`)
    return null
  }
}

export function oracleEncode(value: unknown): Uint8Array {
  return encode(value, encodeOptions)
}

export function oracleDecode(bytes: Uint8Array): unknown {
  const data = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return decode(data, {
    rejectDuplicateMapKeys: true,
    allowUndefined: false,
    tags: { 2: bignum((magnitude) => magnitude), 3: bignum((magnitude) => -1n - magnitude) },
    tokenizer: new StrictTokenizer(data),
  } satisfies DecodeOptions)
}

function bignum(valueOf: (magnitude: bigint) => bigint): TagDecoder {
  return (content) => {
    const bytes = content()
    if (!(bytes instanceof Uint8Array) || bytes.length > MAX_BIGNUM_BYTES) throw new Error('a bad bignum')
    let magnitude = 0n
    for (const byte of bytes) magnitude = (magnitude << 8n) | BigInt(byte)
    const value = valueOf(magnitude)
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
  }
}

/** Adds what the library has no option for: fatal UTF-8 that keeps a leading U+FEFF, depth, and misplaced breaks. */
class StrictTokenizer extends Tokenizer {
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  /** How many items each open container still needs, innermost last. */
  readonly #open = [1]

  constructor(data: Uint8Array) {
    super(data, { allowIndefinite: true, allowUndefined: false, allowBigInt: true, retainStringBytes: true })
  }

  override next(): Token {
    const token = super.next()
    const { type } = token
    if (type === Type.string && token.byteValue !== undefined) token.value = this.#utf8.decode(token.byteValue)
    if (type === Type.tag) this.#checkTag(token)
    else if (type === Type.break) this.#close()
    else if (type === Type.array) this.#enter(Number(token.value))
    else if (type === Type.map) this.#enter(2 * Number(token.value))
    else this.#count()
    return token
  }

  #checkTag(token: Token): void {
    const isBignum = token.value === 2 || token.value === 3
    if (isBignum && this.data[this.pos()]! >> 5 !== 2) throw new Error('a bignum is not a byte string')
  }

  #enter(items: number): void {
    if (items !== Infinity && items > this.data.length - this.pos()) throw new Error('longer than the message')
    if (this.#open.length > MAX_DEPTH) throw new Error('nested too deep')
    if (items === 0) this.#count()
    else this.#open.push(items)
  }

  #close(): void {
    if (this.#open.at(-1) !== Infinity) throw new Error('an unexpected break')
    this.#open.pop()
    this.#count()
  }

  #count(): void {
    for (let left = this.#open.pop(); left !== undefined; left = this.#open.pop()) {
      if (left === 1) continue
      this.#open.push(left - 1)
      return
    }
  }
}
