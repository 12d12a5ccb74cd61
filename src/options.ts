/**
 * Checks of what users give as options. A name that does not exist would be ignored in silence, and a value of the wrong
 * shape fail far from where it was written: both are told at once.
 */
import { InvalidSettingError } from './errors.ts'

/** How many letters of a name may be wrong for another to be meant. */
const MOST_TYPOS = 3

/**
 * @param what names the options in the message, as `hooks`
 * @throws InvalidSettingError unless it is an object with no other names than these
 */
export function checkOptions(what: string, given: unknown, known: readonly string[]): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new InvalidSettingError(what, `must be an object, not ${describe(given)}`)
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue
    const meant = nearest(name, known)
    const mend = meant === undefined ? `known are ${known.join(', ')}` : `did you mean '${meant}'?`
    throw new InvalidSettingError(what, `'${name}' does not exist; ${mend}`)
  }
}

/** @throws InvalidSettingError unless it is a function */
export function checkFunction(setting: string, value: unknown): void {
  if (typeof value !== 'function') throw new InvalidSettingError(setting, `must be a function, not ${describe(value)}`)
}

/** @throws InvalidSettingError unless it is a list; what its items are is for others to check */
export function checkList(setting: string, value: unknown): void {
  if (!Array.isArray(value)) throw new InvalidSettingError(setting, `must be a list, not ${describe(value)}`)
}

/** @throws InvalidSettingError unless it is true or false */
export function checkBoolean(setting: string, value: unknown): void {
  if (typeof value !== 'boolean')
    throw new InvalidSettingError(setting, `must be true or false, not ${describe(value)}`)
}

/** The longest delay that the runtime's timers can hold, in milliseconds. */
export const LONGEST_TIMER_MS = 2_147_483_647

/** @returns the number @throws InvalidSettingError unless it is a whole number in this range */
export function checkWhole(setting: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) return value
  const range = most === Number.MAX_SAFE_INTEGER ? `of ${least} or more` : `from ${least} to ${most}`
  throw new InvalidSettingError(setting, `must be a whole number ${range}, not ${describe(value)}`)
}

/** @returns the time @throws InvalidSettingError unless it is a whole number of milliseconds in this range */
export function checkWholeMs(setting: string, ms: unknown, least = 1, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof ms === 'number' && Number.isSafeInteger(ms) && ms >= least && ms <= most) return ms
  const range = most === Number.MAX_SAFE_INTEGER ? `, ${least} or more` : ` from ${least} to ${most}`
  throw new InvalidSettingError(setting, `must be a whole number of milliseconds${range}, not ${describe(ms)}`)
}

/** @throws InvalidSettingError unless it is a time that a timer can hold */
export function checkTimerMs(setting: string, ms: unknown): void {
  if (isTimerMs(ms)) return
  throw new InvalidSettingError(setting, `must be milliseconds from 1 to ${LONGEST_TIMER_MS}, not ${describe(ms)}`)
}

/** @throws InvalidSettingError unless it is a time that a timer can hold, or Infinity for none */
export function checkTimeout(setting: string, ms: unknown): void {
  if (ms === Infinity || isTimerMs(ms)) return
  throw new InvalidSettingError(
    setting,
    `must be milliseconds from 1 to ${LONGEST_TIMER_MS}, or Infinity for ever, not ${describe(ms)}`,
  )
}

function isTimerMs(ms: unknown): boolean {
  return typeof ms === 'number' && ms >= 1 && ms <= LONGEST_TIMER_MS
}

/** A value in a message: what kind of thing it is, and never more of it than a short text. */
export function describe(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return value === '' ? 'an empty string' : `the string '${value.slice(0, 40)}'`
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'function' ? 'a function' : typeof value
}

function nearest(name: string, known: readonly string[]): string | undefined {
  const distances = known.map((candidate) => [typos(name.toLowerCase(), candidate.toLowerCase()), candidate] as const)
  const [best] = distances.toSorted(([a], [b]) => a - b)
  const isPart = known.find((candidate) => candidate.toLowerCase().startsWith(name.toLowerCase()))
  return best !== undefined && best[0] <= Math.min(MOST_TYPOS, name.length / 2) ? best[1] : isPart
}

/** The Levenshtein distance. */
function typos(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
