/** What the headers of a dead letter say: where it died first, why, when and how often. */
import { visible } from '../wire/text.ts'

/** Where a message has to be published to live again. */
export interface FirstDeath {
  readonly exchange: string
  readonly queue: string
  readonly reason: string
}

/** One entry of the broker's `x-death` header: all deaths of a message in one queue for one reason. */
export interface Death {
  readonly queue: string
  readonly reason: string
  readonly count: number
  readonly time: Date | undefined
}

type Headers = Readonly<Record<string, unknown>>

/** Where the message died first; undefined when the headers do not say so, and then it cannot be replayed. */
export function firstDeathOf(headers: Headers): FirstDeath | undefined {
  const exchange = headers['x-first-death-exchange']
  const queue = headers['x-first-death-queue']
  const reason = headers['x-first-death-reason']
  if (typeof exchange !== 'string' || typeof queue !== 'string') return undefined
  return { exchange, queue, reason: typeof reason === 'string' ? reason : 'unknown' }
}

/** The deaths of a message, the latest first. What is not as the broker writes it is left out. */
export function deathsOf(headers: Headers): readonly Death[] {
  const list: unknown = headers['x-death']
  if (!Array.isArray(list)) return []
  return list.flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return []
    const { queue, reason, count, time } = entry as Record<string, unknown>
    if (typeof queue !== 'string' || typeof reason !== 'string') return []
    return [
      { queue, reason, count: typeof count === 'number' ? count : 1, time: time instanceof Date ? time : undefined },
    ]
  })
}

/** A death in words, as in `rejected by pong.commands 3 min ago, 2nd time`. */
export function describeDeath({ queue, reason, count, time }: Death, now: Date): string {
  const verb = {
    rejected: 'rejected by',
    expired: 'expired in',
    maxlen: 'pushed out of',
    delivery_limit: 'delivered too often by',
  }
  const how = Object.hasOwn(verb, reason) ? verb[reason as keyof typeof verb] : `${visible(reason)} in`
  const when = time === undefined ? '' : ` ${ago(now.getTime() - time.getTime())}`
  return `${how} ${visible(queue)}${when}${count > 1 ? `, ${ordinal(count)} time` : ''}`
}

/** The headers without what the broker wrote about deaths: they must not travel along when the message is sent again. */
export function withoutDeaths<T>(headers: Iterable<readonly [string, T]>): (readonly [string, T])[] {
  return [...headers].filter(
    ([name]) => name !== 'x-death' && !name.startsWith('x-first-death-') && !name.startsWith('x-last-death-'),
  )
}

function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 100) return `${seconds} s ago`
  if (seconds < 6000) return `${Math.round(seconds / 60)} min ago`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`
  return `${Math.round(seconds / 86_400)} days ago`
}

function ordinal(n: number): string {
  const rest = n % 100
  const ending = rest >= 11 && rest <= 13 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th')
  return `${n}${ending}`
}
