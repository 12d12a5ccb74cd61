/**
 * What one broker answered to a scenario, a line a step, without what may differ between two runs on the same broker: names
 * that the broker makes up, and the times in x-death headers.
 */
import type { Value } from './vocabulary.ts'

export class Transcript {
  readonly lines: string[] = []

  add(who: string, what: string, fields?: object): void {
    const said = fields === undefined ? '' : ` ${JSON.stringify(sorted(fields))}`
    this.lines.push(`${who} ${what}${said}`.replaceAll(/amq\.gen-[\w-]{22}/g, 'amq.gen-(made up)'))
  }
}

/** With its keys in order, and the time of a death hidden. */
export function sorted(value: unknown): Value {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value as Value
  const entries = Object.entries(value).filter(([, one]) => one !== undefined)
  return Object.fromEntries(
    entries
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, one]) => [key, key === 'time' && isTimestamp(one) ? '(a time)' : sorted(one)]),
  )
}

function isTimestamp(value: unknown): boolean {
  return typeof value === 'object' && value !== null && '!timestamp' in value
}
