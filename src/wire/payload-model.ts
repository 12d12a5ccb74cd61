/**
 * What a payload may be made of, whatever its format: the limits, and which objects are data.
 *
 * The limits hold on both sides. A peer written in Python reads 399 levels at most, and no service should be able to
 * send what another refuses.
 */

/** Arrays and objects inside each other: the payload itself is the first level. */
export const MAX_DEPTH = 128

/** Elements of all arrays, keys and values of all objects together, in CBOR. */
export const MAX_ITEMS = 1_000_000

/** Bytes of an integer that does not fit in 64 bits, in CBOR. */
export const MAX_BIGNUM_BYTES = 256

/**
 * Whether an object is nothing but its own keys: `{}`, a null-prototype object, or an object literal of another realm
 * (`node:vm`, a test runner). Class instances and everything built in are not.
 */
export function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return true
  return (
    typeof prototype === 'object' &&
    Object.getPrototypeOf(prototype) === null &&
    // tells the Object.prototype of a realm from any other object that inherits from nothing
    Object.hasOwn(prototype, 'isPrototypeOf')
  )
}
