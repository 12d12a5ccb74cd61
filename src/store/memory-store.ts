/** A store in the memory of this process, for tests and for services that need no other: the same operations, the same values. */
import { InvalidSettingError, StoreBusyError, StoreError } from '../errors.ts'
import { checkOptions, checkWholeMs, describe, LONGEST_TIMER_MS } from '../options.ts'
import { type Cancel, checkClock, type Clock, SYSTEM_CLOCK } from '../time/clock.ts'
import { checkCreate, checkKey, ttlOf } from './check.ts'
import {
  DEFAULT_LOCK_MS,
  DEFAULT_TTL_MS,
  decodeValue,
  encodeValue,
  type SetOptions,
  type StoreOptions,
  type TempStore,
} from './temp-store.ts'

interface Entry {
  /** Encoded, so that what is read is a copy, as from any other store. */
  readonly bytes: Buffer
  /** By the clock of the store. */
  readonly endsAt: number
}

/** How a store in memory works. */
export interface MemoryStoreOptions extends StoreOptions {
  /** For tests: the time by which values and locks expire. @default the system's time */
  readonly clock?: Clock
}

/** After so many writes what has expired is swept out. */
const SWEEP_EVERY = 1000

/** Makes a store in memory. Stores of the same process share nothing. @throws InvalidSettingError */
export function createMemoryStore(options: MemoryStoreOptions): TempStore {
  checkOptions('store', options, ['namespace', 'ttlMs', 'clock'])
  if (typeof options.namespace !== 'string')
    throw new InvalidSettingError('namespace', `must be a text, not ${describe(options.namespace)}`)
  const { namespace, ttlMs = DEFAULT_TTL_MS, clock = SYSTEM_CLOCK } = options
  checkClock(clock)
  checkWholeMs('ttlMs', ttlMs)
  const store = new MemoryStore(namespace, ttlMs, clock)
  const close = async (): Promise<void> => store.close()
  return {
    set: async (key, value, setOptions) => store.set({ [own(key)]: value }, setOptions),
    mset: async (values, setOptions) => store.set(values, setOptions),
    pop: async (key) => store.mpop([key])?.[0],
    mpop: async (keys) => store.mpop(keys),
    peek: async (key) => store.peek(key),
    peekOrCreate: (key, create, createOptions = {}) => {
      const { ttlMs: ttl, lockMs, waitMs } = checkCreate(create, createOptions, { ttlMs, lockMs: DEFAULT_LOCK_MS })
      return store.peekOrCreate(own(key), create, ttl, lockMs, waitMs)
    },
    isDown: async () => (store.isClosed ? 'the store is closed' : ''),
    close,
    [Symbol.asyncDispose]: close,
  }
}

function own(key: unknown): string {
  checkKey(key)
  return key
}

class MemoryStore {
  isClosed = false
  readonly #namespace: string
  readonly #ttlMs: number
  readonly #clock: Clock
  readonly #entries = new Map<string, Entry>()
  /** For each key that is being created: resolves when that has ended, or has taken too long. */
  readonly #locks = new Map<string, Promise<void>>()
  #writes = 0

  constructor(namespace: string, ttlMs: number, clock: Clock) {
    this.#namespace = namespace
    this.#ttlMs = ttlMs
    this.#clock = clock
  }

  set(values: Readonly<Record<string, unknown>>, options: SetOptions = {}): void {
    this.#checkOpen()
    const ttlMs = ttlOf(options, this.#ttlMs)
    // all are encoded before any is stored
    const encoded = Object.entries(values).map(([key, value]) => [own(key), encodeValue(value)] as const)
    const endsAt = this.#clock.now() + ttlMs
    for (const [key, bytes] of encoded) this.#entries.set(this.#namespace + key, { bytes, endsAt })
    this.#writes += encoded.length
    if (this.#writes >= SWEEP_EVERY) this.#sweep()
  }

  mpop(keys: readonly string[]): unknown[] | undefined {
    this.#checkOpen()
    const names = keys.map((key) => this.#namespace + own(key))
    const found = names.map((name) => this.#at(name))
    if (found.includes(undefined)) return undefined
    for (const name of names) this.#entries.delete(name)
    return found.map((bytes) => decodeValue(bytes ?? Buffer.alloc(0)))
  }

  peek(key: string): unknown {
    this.#checkOpen()
    const bytes = this.#at(this.#namespace + own(key))
    return bytes === undefined ? undefined : decodeValue(bytes)
  }

  async peekOrCreate(
    key: string,
    create: () => unknown,
    ttlMs: number,
    lockMs: number,
    waitMs: number,
  ): Promise<unknown> {
    const deadline = this.#clock.now() + waitMs
    for (;;) {
      const bytes = this.#at(this.#namespace + key)
      if (bytes !== undefined) return this.peek(key)
      this.#checkOpen()
      const lock = this.#locks.get(key)
      if (lock === undefined) break
      if (!(await within(lock, deadline - this.#clock.now(), this.#clock))) throw new StoreBusyError(key, waitMs)
    }
    const creating = this.#create(key, create, ttlMs)
    let cancel: Cancel = () => {}
    const late = new Promise<void>((resolve) => {
      cancel = this.#clock.after(lockMs, resolve)
    })
    const lock = Promise.race([creating.then(nothing, nothing), late]).then(() => {
      cancel()
      if (this.#locks.get(key) === lock) this.#locks.delete(key)
    })
    this.#locks.set(key, lock)
    return creating
  }

  close(): void {
    this.isClosed = true
    this.#entries.clear()
  }

  async #create(key: string, create: () => unknown, ttlMs: number): Promise<unknown> {
    const value: unknown = await create()
    // another factory was quicker, because this one took longer than its lock
    if (this.#at(this.#namespace + key) === undefined) this.set({ [key]: value }, { ttlMs })
    return this.peek(key)
  }

  #at(name: string): Buffer | undefined {
    const entry = this.#entries.get(name)
    if (entry === undefined || entry.endsAt > this.#clock.now()) return entry?.bytes
    this.#entries.delete(name)
    return undefined
  }

  #sweep(): void {
    this.#writes = 0
    for (const name of this.#entries.keys()) this.#at(name)
  }

  #checkOpen(): void {
    if (this.isClosed) throw new StoreError(`the store '${this.#namespace}' was closed: make a new one`)
  }
}

/** @returns whether it ended in time */
async function within(lock: Promise<void>, ms: number, clock: Clock): Promise<boolean> {
  if (ms === Infinity) {
    await lock
    return true
  }
  let cancel: Cancel = () => {}
  const late = new Promise<false>((resolve) => {
    cancel = clock.after(Math.max(0, Math.min(ms, LONGEST_TIMER_MS)), () => resolve(false))
  })
  const inTime = await Promise.race([lock.then(() => true), late])
  cancel()
  return inTime
}

function nothing(): void {}
