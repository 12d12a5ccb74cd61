/** The keys of one database: values that live as long as they may, and who wants to know that a key has changed. */
import type { Clock } from '../time/clock.ts'

/** What all databases of a server take together, in bytes. */
export interface Usage {
  used: number
}

interface Entry {
  readonly value: Buffer
  /** By the clock; Infinity for one that stays. */
  readonly endsAt: number
}

/** What a key takes beside its name and its value, as measured on Node 20. */
const KEY_OVERHEAD = 500

export class Keyspace {
  readonly #clock: Clock
  readonly #usage: Usage
  /** By name, a character for each byte. */
  readonly #entries = new Map<string, Entry>()
  readonly #watchers = new Map<string, Set<() => void>>()

  constructor(clock: Clock, usage: Usage) {
    this.#clock = clock
    this.#usage = usage
  }

  get(key: Buffer): Buffer | undefined {
    return this.#at(key.toString('latin1'))?.value
  }

  set(key: Buffer, value: Buffer, ttlMs = Infinity): void {
    const name = key.toString('latin1')
    this.#remove(name)
    // a copy, because what was received keeps all that came with it in memory
    const own = Buffer.allocUnsafeSlow(value.length)
    value.copy(own)
    this.#entries.set(name, { value: own, endsAt: this.#clock.now() + ttlMs })
    this.#usage.used += sizeOf(name, value)
    this.#changed(name)
  }

  /** @returns whether it was there */
  delete(key: Buffer): boolean {
    const name = key.toString('latin1')
    if (this.#at(name) === undefined) return false
    this.#remove(name)
    this.#changed(name)
    return true
  }

  /** How long it lives: Infinity when it stays, undefined when it is not there. */
  ttlMs(key: Buffer): number | undefined {
    const entry = this.#at(key.toString('latin1'))
    return entry === undefined ? undefined : entry.endsAt - this.#clock.now()
  }

  /** @returns whether it was there */
  expire(key: Buffer, ttlMs: number): boolean {
    const name = key.toString('latin1')
    const entry = this.#at(name)
    if (entry === undefined) return false
    this.#entries.set(name, { ...entry, endsAt: this.#clock.now() + ttlMs })
    this.#changed(name)
    return true
  }

  /** Calls back when the key is written, is deleted, or turns out to have expired. @returns what ends that */
  watch(key: Buffer, onChange: () => void): () => void {
    const name = key.toString('latin1')
    this.#at(name)
    const watchers = this.#watchers.get(name) ?? new Set()
    this.#watchers.set(name, watchers.add(onChange))
    return () => {
      watchers.delete(onChange)
      if (watchers.size === 0 && this.#watchers.get(name) === watchers) this.#watchers.delete(name)
    }
  }

  /** Removes what has expired. */
  sweep(): void {
    for (const name of this.#entries.keys()) this.#at(name)
  }

  #at(name: string): Entry | undefined {
    const entry = this.#entries.get(name)
    if (entry === undefined || entry.endsAt > this.#clock.now()) return entry
    this.#remove(name)
    this.#changed(name)
    return undefined
  }

  #remove(name: string): void {
    const entry = this.#entries.get(name)
    if (entry === undefined) return
    this.#entries.delete(name)
    this.#usage.used -= sizeOf(name, entry.value)
  }

  #changed(name: string): void {
    for (const onChange of this.#watchers.get(name) ?? []) onChange()
  }
}

function sizeOf(name: string, value: Buffer): number {
  return name.length + value.length + KEY_OVERHEAD
}
