/**
 * The shared temporary store: values that services leave for one another, each with a time to live, every operation atomic.
 *
 * Values are data as payloads are (CBOR), so falsy ones are values like any other; what is not there is `undefined`.
 */
import { decodePayload, encodePayload } from '../wire/payload.ts'

/** How a value is stored. */
export interface SetOptions {
  /** How long it lives, in milliseconds. @default that of the store: 270_000_000, which is 75 hours */
  readonly ttlMs?: number
}

/** How a value is created that is not there. */
export interface CreateOptions extends SetOptions {
  /**
   * How long the factory may take, in milliseconds: so long all others wait. One that takes longer loses its lock, and another
   * may run at the same time: the value that is stored first is then the one that everybody gets, the late factory's caller included.
   * @default 60_000
   */
  readonly lockMs?: number
  /** How long to wait for somebody else who is creating it, in milliseconds, before StoreBusyError. @default Infinity: until it is there */
  readonly waitMs?: number
}

/**
 * A store that services share. Peers in Python see the same keys, values and locks.
 *
 * All methods reject with StoreError when the store cannot be reached in time (what was asked for may have been done all the same), and with InvalidSettingError for a wrong key or
 * option; those that store with PayloadEncodeError for a value that is no data, those that read with PayloadDecodeError for
 * one that somebody else stored in another form.
 */
export interface TempStore extends AsyncDisposable {
  /** Stores a value, in the place of any that is there. */
  readonly set: (key: string, value: unknown, options?: SetOptions) => Promise<void>
  /** Stores several values, all or none. */
  readonly mset: (values: Readonly<Record<string, unknown>>, options?: SetOptions) => Promise<void>
  /** Reads and removes a value: of all who ask at the same time one gets it, and the others `undefined`. */
  readonly pop: (key: string) => Promise<unknown>
  /** Reads and removes several values; `undefined`, with nothing removed, when one is not there. */
  readonly mpop: (keys: readonly string[]) => Promise<readonly unknown[] | undefined>
  /** Reads a value, and leaves it. */
  readonly peek: (key: string) => Promise<unknown>
  /**
   * Reads a value, or creates it: of all who ask at the same time, in all processes, one calls its factory.
   * @returns the value as it is stored; rejects with what the factory throws, and then nothing is stored
   */
  readonly peekOrCreate: (key: string, create: () => unknown, options?: CreateOptions) => Promise<unknown>
  /** Whether the store is down, by writing and removing a key of its own: why, in words, or `''` when it works. Never rejects. */
  readonly isDown: () => Promise<string>
  /** Disconnects. What is called afterwards rejects. */
  readonly close: () => Promise<void>
}

/** How every store works. */
export interface StoreOptions {
  /** In front of every key. Services that share values have the same. */
  readonly namespace: string
  /** How long values live, in milliseconds, unless they are set with another time. @default 270_000_000: 75 hours */
  readonly ttlMs?: number
}

/** What the Python toolkit has: 270,000 seconds. */
export const DEFAULT_TTL_MS = 270_000_000
export const DEFAULT_LOCK_MS = 60_000

/** A value as it is stored. */
export function encodeValue(value: unknown): Buffer {
  return encodePayload(value, 'cbor')
}

/** A stored value as it is read. @throws PayloadDecodeError */
export function decodeValue(bytes: Uint8Array): unknown {
  return decodePayload(bytes, 'application/cbor')
}
