/** What keys and times of a store can be. */
import { InvalidSettingError } from '../errors.ts'
import { checkFunction, checkOptions, checkTimeout, describe } from '../options.ts'
import type { CreateOptions, SetOptions } from './temp-store.ts'

/** @throws InvalidSettingError unless it is a text that is not empty */
export function checkKey(key: unknown): asserts key is string {
  if (typeof key !== 'string' || key === '' || !key.isWellFormed())
    throw new InvalidSettingError('key', `must be a text that is not empty, not ${describe(key)}`)
}

/** @throws InvalidSettingError unless it is a whole number of milliseconds, 1 or more */
export function checkMs(name: string, ms: unknown): void {
  if (!(Number.isSafeInteger(ms) && (ms as number) >= 1))
    throw new InvalidSettingError(name, `must be a whole number of milliseconds, 1 or more, not ${describe(ms)}`)
}

/** @returns the time to live of a value @throws InvalidSettingError */
export function ttlOf(options: SetOptions, fallback: number): number {
  checkOptions('options', options, ['ttlMs'])
  const { ttlMs = fallback } = options
  checkMs('ttlMs', ttlMs)
  return ttlMs
}

/** @throws InvalidSettingError */
export function checkCreate(
  create: unknown,
  { lockMs, waitMs = Infinity, ...options }: CreateOptions,
  fallback: { readonly ttlMs: number; readonly lockMs: number },
): { ttlMs: number; lockMs: number; waitMs: number } {
  checkFunction('factory', create)
  const checked = { ttlMs: ttlOf(options, fallback.ttlMs), lockMs: lockMs ?? fallback.lockMs, waitMs }
  checkTimeout('lockMs', checked.lockMs)
  checkMs('lockMs', checked.lockMs)
  if (!(typeof waitMs === 'number' && waitMs >= 0))
    throw new InvalidSettingError('waitMs', `must be milliseconds, not ${describe(waitMs)}`)
  return checked
}
