/** The conformance vectors and the hostile inputs of `test/fixtures/cbor`, with their tagged JSON turned into values. */
import { readFileSync } from 'node:fs'
import { runInThisContext } from 'node:vm'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

export interface Vector {
  readonly name: string
  /** What Python's cbor2 writes for the value. */
  readonly bytes: Buffer
  /** What decoding gives; undefined when it is an error. */
  readonly value: unknown
  /** What encoding the value gives; undefined when decoding is an error. */
  readonly encoded: Buffer | undefined
}

export interface EncodeCase {
  readonly name: string
  readonly value: unknown
  /** The bytes, or undefined for an error. */
  readonly encoded: Buffer | undefined
}

export interface HostileInput {
  readonly name: string
  readonly bytes: Buffer
  readonly maxMs: number
}

interface Repeated {
  readonly prefix: string
  readonly unit: string
  readonly count: number
  readonly suffix?: string
}
interface RawVector {
  readonly group: string
  readonly name: string
  readonly hex?: string
  readonly hex_gen?: Repeated
  readonly js_value_gen?: { readonly repeat?: [string, number]; readonly bytes_repeat?: [string, number] }
  readonly js_decode?: { readonly value?: Json; readonly error?: string }
  readonly js_encode?: { readonly hex: string }
}
interface RawVectors {
  readonly vectors: readonly RawVector[]
  readonly js_encode_cases: readonly { readonly name: string; readonly js: string; readonly hex?: string }[]
}
interface RawHostile {
  readonly inputs: readonly {
    readonly name: string
    readonly hex?: string
    readonly gen?: Repeated
    readonly max_ms: number
  }[]
}

function textOf(name: string): string {
  return readFileSync(new URL(`../fixtures/cbor/${name}`, import.meta.url), 'utf8')
}

function loadRawVectors(): RawVectors {
  return JSON.parse(textOf('vectors.json'))
}

export function loadVectors(): Vector[] {
  return loadRawVectors().vectors.map((raw) => {
    const name = `${raw.group}: ${raw.name}`
    const bytes = bytesOf(raw.hex, raw.hex_gen)
    if (raw.js_value_gen !== undefined) return { name, bytes, value: generated(raw.js_value_gen), encoded: bytes }
    if (raw.js_decode?.error !== undefined) return { name, bytes, value: undefined, encoded: undefined }
    const encoded = Buffer.from(raw.js_encode?.hex ?? '', 'hex')
    return { name, bytes, value: untagged(raw.js_decode?.value ?? null), encoded }
  })
}

export function loadEncodeCases(): EncodeCase[] {
  return loadRawVectors().js_encode_cases.map(({ name, js, hex }) => ({
    name,
    value: runInThisContext(js),
    encoded: hex === undefined ? undefined : Buffer.from(hex, 'hex'),
  }))
}

export function loadHostile(): HostileInput[] {
  const { inputs }: RawHostile = JSON.parse(textOf('hostile.json'))
  return inputs.map(({ name, hex, gen, max_ms: maxMs }) => ({
    name,
    bytes: bytesOf(hex, gen),
    maxMs,
  }))
}

function bytesOf(hex: string | undefined, repeated: Repeated | undefined): Buffer {
  if (repeated === undefined) return Buffer.from(hex ?? '', 'hex')
  const { prefix, unit, count, suffix = '' } = repeated
  return Buffer.concat([
    Buffer.from(prefix, 'hex'),
    Buffer.alloc((unit.length / 2) * count, unit, 'hex'),
    Buffer.from(suffix, 'hex'),
  ])
}

function generated({ repeat, bytes_repeat: bytes }: NonNullable<RawVector['js_value_gen']>): unknown {
  if (repeat !== undefined) return repeat[0].repeat(repeat[1])
  return bytes === undefined ? undefined : Buffer.alloc(bytes[1], bytes[0], 'hex')
}

/**
 * The value behind tagged JSON: `{$bigint}`, `{$int}` (a number when it is safe), `{$number}`, `{$float}`, `{$bytes}`,
 * `{$object}` and `{$map}` stand for what JSON cannot carry.
 */
export function untagged(json: Json): unknown {
  if (typeof json !== 'object' || json === null) return json
  if (Array.isArray(json)) return json.map(untagged)
  const [tag = '', content = null] = Object.entries(json)[0] ?? []
  const text = typeof content === 'string' ? content : ''
  switch (tag) {
    case '$bigint':
      return BigInt(text)
    case '$int':
      return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text)
    case '$number':
    case '$float':
      return Number(text.replace('nan', 'NaN').replace('inf', 'Infinity'))
    case '$bytes':
      return Buffer.from(text, 'hex')
    case '$object':
    case '$map':
      return objectOf(Array.isArray(content) ? content : [])
    default:
      return objectOf(Object.entries(json))
  }
}

function objectOf(pairs: readonly Json[] | readonly [string, Json][]): object {
  const object = {}
  for (const pair of pairs) {
    const [key, json = null] = Array.isArray(pair) ? pair : []
    if (typeof key !== 'string') throw new TypeError('a pair with a key was expected')
    const value = untagged(json)
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  }
  return object
}

/** Tagged JSON for Python: all integers as `{$int}`, floats as `{$float}`, bytes as `{$bytes}`, objects as `{$map}`. */
export function tagged(value: unknown): Json {
  if (typeof value === 'bigint') return { $int: String(value) }
  if (typeof value === 'number') {
    const isInteger = Number.isSafeInteger(value) && !Object.is(value, -0)
    return isInteger ? { $int: String(value) } : { $float: Object.is(value, -0) ? '-0.0' : String(value) }
  }
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('hex') }
  if (Array.isArray(value)) return value.map(tagged)
  return { $map: Object.entries(value ?? {}).map(([key, item]) => [key, tagged(item)]) }
}

/** Whether two values are the same to a peer: -0 is not 0, a bigint is not a number, key order does not count. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0
  }
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b) || keys.length !== Object.keys(b).length) return false
  return keys.every((key) => Object.hasOwn(b, key) && same(Reflect.get(a, key), Reflect.get(b, key)))
}
