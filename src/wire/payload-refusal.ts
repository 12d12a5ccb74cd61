/**
 * Says why a value cannot be sent: which part of it, and what to send instead.
 *
 * It walks a value that was refused a second time, in the same order, so that a value that can be sent pays nothing for
 * the path. Whatever the value does while it is read (getters, proxies), the outcome is one PayloadEncodeError.
 */
import { types } from 'node:util'
import { PayloadEncodeError } from '../errors.ts'
import { isPlainObject, MAX_BIGNUM_BYTES, MAX_DEPTH, MAX_ITEMS } from './payload-model.ts'
import { visible } from './text.ts'

export interface PayloadRules {
  readonly format: 'cbor' | 'json'
  /** Whether integers beyond 64 bits may be sent, in CBOR. */
  readonly bignums: boolean
}

interface Walk {
  readonly rules: PayloadRules
  /** Where the walk is; it stays there when a problem was found. */
  readonly steps: (string | number)[]
  /** The arrays and objects that the walk is inside of, outermost first. */
  readonly ancestors: object[]
  items: number
  /** What reading a property threw, if that is the problem. */
  cause: unknown
}

/** A longer path is shown without its middle. */
const MAX_STEPS = 16
const MAX_KEY_LENGTH = 60
const MAX_TEXT_LENGTH = 200
const IDENTIFIER = /^[A-Za-z_$][\w$]{0,59}$/
const LONE_SURROGATE = 'has a lone surrogate, which UTF-8 cannot carry; send text.toWellFormed()'

/** The error for a value that could not be encoded; `thrown` is what stopped the encoder. */
export function refusalOf(value: unknown, rules: PayloadRules, thrown: unknown): PayloadEncodeError {
  const walk: Walk = { rules, steps: [], ancestors: [], items: 0, cause: undefined }
  const problem = problemOf(value, walk)
  if (problem !== undefined) {
    const options = walk.cause === undefined ? {} : { cause: walk.cause }
    return new PayloadEncodeError(`${pathOf(walk.steps)}: ${problem}`, options)
  }
  return new PayloadEncodeError(
    `payload: could not be encoded (${messageOf(thrown)}); if it has getters or is a proxy, send a plain copy of it`,
    { cause: thrown },
  )
}

function problemOf(value: unknown, walk: Walk): string | undefined {
  const json = walk.rules.format === 'json'
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? undefined : LONE_SURROGATE
    case 'number':
      if (!json || Number.isFinite(value)) return undefined
      return `${value} cannot be sent as JSON; send null, or use application/cbor`
    case 'bigint':
      if (json) return 'a bigint cannot be sent as JSON; use application/cbor, or send it as a string'
      return bigintProblem(value, walk.rules)
    case 'undefined':
      return walk.steps.length === 0
        ? 'undefined cannot be sent; send null'
        : 'undefined cannot be sent in an array; send null, or leave the element out'
    case 'function':
      return 'a function cannot be sent; send what it returns, or leave it out'
    case 'symbol':
      return 'a symbol cannot be sent; send a string'
    case 'object':
      return value === null ? undefined : objectProblem(value, walk)
    case 'boolean':
      return undefined
  }
  return undefined
}

function bigintProblem(value: bigint, rules: PayloadRules): string | undefined {
  if (!rules.bignums) {
    return BigInt.asUintN(64, value) === value || BigInt.asUintN(64, -1n - value) === -1n - value
      ? undefined
      : 'an integer beyond 64 bits cannot be sent; send it as a string'
  }
  const bits = BigInt(MAX_BIGNUM_BYTES * 8)
  return (value < 0n ? -1n - value : value) >> bits === 0n
    ? undefined
    : `an integer of more than ${MAX_BIGNUM_BYTES} bytes cannot be sent; send it as a string`
}

function objectProblem(value: object, walk: Walk): string | undefined {
  const level = walk.ancestors.indexOf(value)
  if (level !== -1) {
    return `refers back to ${pathOf(walk.steps.slice(0, level))}; send an id in place of the reference`
  }
  try {
    const isArray = Array.isArray(value)
    if (!isArray && !isPlainObject(value)) return foreignProblem(value, walk.rules)
    if (walk.rules.format === 'json' && 'toJSON' in value && typeof value.toJSON === 'function') {
      return 'has a toJSON method; send what it returns (value.toJSON())'
    }
    if (walk.ancestors.length >= MAX_DEPTH) {
      return `is nested deeper than ${MAX_DEPTH} levels; send a flatter value`
    }
    walk.ancestors.push(value)
    const problem = isArray ? arrayProblem(value, walk) : entriesProblem(value, walk)
    if (problem === undefined) walk.ancestors.pop()
    return problem
  } catch (error) {
    walk.cause = error
    return `reading it threw an error (${messageOf(error)}); send a plain copy of the data`
  }
}

function arrayProblem(array: readonly unknown[], walk: Walk): string | undefined {
  if (hasTooManyItems(walk, array.length)) return tooManyItems()
  for (let i = 0; i < array.length; i++) {
    walk.steps.push(i)
    const item = array[i]
    if (item === undefined && !(i in array)) return 'a hole in an array cannot be sent; send null in its place'
    const problem = problemOf(item, walk)
    if (problem !== undefined) return problem
    walk.steps.pop()
  }
  return undefined
}

function entriesProblem(map: object, walk: Walk): string | undefined {
  for (const key of Object.keys(map)) {
    walk.steps.push(key)
    const value: unknown = Reflect.get(map, key)
    if (value !== undefined) {
      if (hasTooManyItems(walk, 2)) return tooManyItems()
      if (!key.isWellFormed()) return `its key ${LONE_SURROGATE}`
      const problem = problemOf(value, walk)
      if (problem !== undefined) return problem
    }
    walk.steps.pop()
  }
  return undefined
}

function hasTooManyItems(walk: Walk, more: number): boolean {
  walk.items += more
  return walk.rules.format === 'cbor' && walk.items > MAX_ITEMS
}

function tooManyItems(): string {
  return `there are more than ${MAX_ITEMS} items (elements, keys and values) up to here; send several messages, or the data as bytes`
}

/** Why an object that is neither an array nor a plain object cannot be sent; undefined for bytes in CBOR. */
function foreignProblem(value: object, { format }: PayloadRules): string | undefined {
  if (types.isUint8Array(value)) {
    if (format === 'json') return 'bytes cannot be sent as JSON; use application/cbor, or send base64 text'
    if (!isDetached(value)) return undefined
    return 'the memory of these bytes was transferred to another thread; send a copy made before that'
  }
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return memoryProblem(value, format)
  const mend = MENDS.find(([is]) => is(value))?.[1]
  const name = nameOf(value)
  return `${name} cannot be sent; ${mend ?? 'send a plain object with its data'}`
}

function memoryProblem(value: ArrayBufferView | ArrayBufferLike, format: PayloadRules['format']): string {
  const name = nameOf(value)
  if (!ArrayBuffer.isView(value)) return `${name} cannot be sent; send new Uint8Array(buffer), in CBOR`
  const bytes = 'its bytes as a Uint8Array (of .buffer, .byteOffset, .byteLength)'
  if (types.isDataView(value)) return `a DataView cannot be sent; send ${bytes}, in CBOR`
  const numbers = 'its numbers (Array.from(array))'
  return `${name} cannot be sent; send ${format === 'json' ? numbers : `${numbers}, or ${bytes}`}`
}

const MENDS: readonly (readonly [is: (value: object) => boolean, mend: string])[] = [
  [types.isDate, 'send its ISO string (date.toISOString()) or milliseconds (date.getTime())'],
  [types.isMap, 'send an object (Object.fromEntries(map)) or its entries ([...map])'],
  [types.isSet, 'send an array ([...set])'],
  [types.isPromise, 'await it first'],
  [types.isRegExp, 'send its source'],
  [types.isNativeError, 'send its message or a plain object ({ name, message })'],
  [types.isBoxedPrimitive, 'send the primitive value (value.valueOf())'],
  [(value) => value instanceof URL, 'send a string (url.href)'],
  [(value) => Symbol.iterator in value, 'send an array ([...value])'],
]

/** Whether the memory behind these bytes went to another thread: they then look like no bytes at all. */
function isDetached(bytes: Uint8Array): boolean {
  // Node 20 has no `detached`; a detached buffer is the only one that refuses a view
  if (bytes.byteLength !== 0) return false
  try {
    return new Uint8Array(bytes.buffer).length !== bytes.buffer.byteLength
  } catch {
    return true
  }
}

/** The class of an object with its article, as far as it can be told. */
function nameOf(value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value)
  const constructor: unknown =
    typeof prototype === 'object' && prototype !== null && 'constructor' in prototype
      ? prototype.constructor
      : undefined
  const name = typeof constructor === 'function' ? constructor.name : ''
  if (typeof name !== 'string' || name === '' || name === 'Object') return 'an object that is not a plain one'
  return `${/^[AEIO]/.test(name) ? 'an' : 'a'} ${shown(name)}`
}

function pathOf(steps: readonly (string | number)[]): string {
  const texts = steps.map(stepOf)
  if (texts.length > MAX_STEPS) texts.splice(MAX_STEPS / 2, texts.length - MAX_STEPS, '…')
  return `payload${texts.join('')}`
}

function stepOf(step: string | number): string {
  if (typeof step === 'number') return `[${step}]`
  if (IDENTIFIER.test(step)) return `.${step}`
  return `[${visible(JSON.stringify(step.length > MAX_KEY_LENGTH ? `${step.slice(0, MAX_KEY_LENGTH)}…` : step))}]`
}

function messageOf(thrown: unknown): string {
  try {
    return shown(thrown instanceof Error ? thrown.message : String(thrown))
  } catch {
    return 'an error without a message'
  }
}

function shown(text: string): string {
  return visible(text.length > MAX_TEXT_LENGTH ? `${text.slice(0, MAX_TEXT_LENGTH)}…` : text)
}
