/** What keys and times of a store can be. */
import { InvalidSettingError } from '../errors.ts'
import { checkFunction, checkOptions, checkWholeMs, describe, LONGEST_TIMER_MS } from '../options.ts'
import type { CreateOptions, SetOptions } from './temp-store.ts'

/** @throws InvalidSettingError unless it is a text that is not empty */
export function checkKey(key: unknown): asserts key is string {
  if (typeof key === 'string' && !key.isWellFormed())
    throw new InvalidSettingError('key', 'holds half of a surrogate pair, which is no character')
  if (typeof key !== 'string' || key === '')
    throw new InvalidSettingError('key', `must be a text that is not empty, not ${describe(key)}`)
}

/** @returns the time to live of a value @throws InvalidSettingError */
export function ttlOf(options: SetOptions, fallback: number): number {
  checkOptions('options', options, ['ttlMs'])
  const { ttlMs = fallback } = options
  return checkWholeMs('ttlMs', ttlMs)
}

/** @throws InvalidSettingError */
export function checkCreate(
  create: unknown,
  { lockMs, waitMs = Infinity, ...options }: CreateOptions,
  fallback: { readonly ttlMs: number; readonly lockMs: number },
): { ttlMs: number; lockMs: number; waitMs: number } {
  checkFunction('factory', create)
  if (!(typeof waitMs === 'number' && waitMs >= 0))
    throw new InvalidSettingError('waitMs', `must be milliseconds, not ${describe(waitMs)}`)
  return {
    ttlMs: ttlOf(options, fallback.ttlMs),
    lockMs: checkWholeMs('lockMs', lockMs ?? fallback.lockMs, 1, LONGEST_TIMER_MS),
    waitMs,
  }
}
