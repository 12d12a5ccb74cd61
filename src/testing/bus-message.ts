/** A message as tests look at it: decoded, and with everything that the envelope says, under the names of the toolkit. */
import { deathsOf, firstDeathOf, withoutDeaths } from '../dead-letter/letter.ts'
import { bodyOf } from '../observe/body.ts'
import { kindOf } from '../observe/envelope.ts'
import { matches } from '../topology/match.ts'
import { conversationIdOf } from '../wire/envelope.ts'
import type { IncomingMessage } from '../wire/message.ts'

/** A message that the broker took. What the message lacks is undefined. */
export interface BusMessage {
  /** `other`: on an exchange that is none of the bus. */
  readonly kind: 'event' | 'command' | 'result' | 'configuration' | 'log' | 'other'
  readonly routingKey: string
  /** Decoded; the bytes where it cannot be, and then `problem` says why. */
  readonly payload: unknown
  readonly problem: string | undefined
  /** The service that sent it, or the name of the bus itself; peers in Python set none. */
  readonly source: string | undefined
  readonly conversationId: string | undefined
  readonly messageId: string | undefined
  /** The `messageId` of what it is a reaction to. */
  readonly causationId: string | undefined
  /** Of commands and results. */
  readonly correlationId: string | undefined
  /** Of commands: where their result goes. */
  readonly replyTo: string | undefined
  /** Of results. */
  readonly status: string | undefined
  /** All other headers. */
  readonly headers: Readonly<Record<string, unknown>>
}

/** A message that died. */
export interface DeadLetter extends BusMessage {
  /** Where it died first. */
  readonly queue: string
  /** Why, in the broker's words: `rejected`, `expired`, `maxlen`… */
  readonly reason: string
  /** How often it has died. */
  readonly deaths: number
}

/** Which messages; all conditions have to hold. */
export interface MessageFilter {
  /** A topic pattern, as of handlers. @default any */
  readonly routingKey?: string
  /** @default any */
  readonly kind?: BusMessage['kind']
  /** Who sent it. @default any */
  readonly source?: string
  /** @default any */
  readonly conversationId?: string
}

export const FILTER_NAMES = [
  'routingKey',
  'kind',
  'source',
  'conversationId',
] as const satisfies (keyof MessageFilter)[]

const IN_FIELDS = new Set(['conversation_id', 'causation_id', 'status'])

export function busMessageOf(message: IncomingMessage): BusMessage {
  const { headers = {}, appId, messageId, correlationId, replyTo } = message.properties
  const body = bodyOf(message)
  const others = withoutDeaths(Object.entries(headers)).filter(([name]) => !IN_FIELDS.has(name))
  return {
    kind: kindOf(message),
    routingKey: message.routingKey,
    payload: body.decoded ? body.value : message.body,
    problem: body.decoded ? undefined : body.problem,
    source: textOf(appId),
    conversationId: textOf(conversationIdOf(message)),
    messageId: textOf(messageId),
    causationId: textOf(headers['causation_id']),
    correlationId: textOf(correlationId),
    replyTo: textOf(replyTo),
    status: textOf(headers['status']),
    headers: Object.fromEntries(others),
  }
}

export function deadLetterOf(message: IncomingMessage): DeadLetter {
  const { headers = {} } = message.properties
  const { queue = '', reason = '' } = firstDeathOf(headers) ?? {}
  const deaths = deathsOf(headers).reduce((sum, { count }) => sum + count, 0)
  return { ...busMessageOf(message), queue, reason, deaths }
}

export function fits(message: BusMessage, { routingKey, kind, source, conversationId }: MessageFilter): boolean {
  return (
    (routingKey === undefined || matches(routingKey, message.routingKey)) &&
    (kind === undefined || kind === message.kind) &&
    (source === undefined || source === message.source) &&
    (conversationId === undefined || conversationId === message.conversationId)
  )
}

/** Empty means absent. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
