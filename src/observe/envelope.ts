/** The envelope: the one form in which all commands give out a message with `--json`, and what `--where` sees. */
import { firstDeathOf } from '../dead-letter/letter.ts'
import { EXCHANGES } from '../topology/names.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { bodyOf, type Body, toJson } from './body.ts'

export type Kind = 'event' | 'command' | 'result' | 'configuration' | 'log' | 'other'

/** Absent is null. Documented in docs/cli.md. */
export interface Envelope {
  /** When the message was sent, or else when it was read; ISO 8601. */
  readonly ts: string
  readonly kind: Kind
  /** The routing key. */
  readonly name: string
  /** The logical service that a command or a result is for, that wrote a log, or that published (`app_id`). */
  readonly service: string | null
  readonly conversation_id: string | null
  readonly correlation_id: string | null
  readonly causation_id: string | null
  readonly message_id: string | null
  readonly status: string | null
  readonly redelivered: boolean
  readonly headers: Readonly<Record<string, unknown>>
  readonly payload: unknown
  /** Why the payload could not be decoded: it is `{ "$bytes": base64 }` then. */
  readonly problem?: string
}

export function envelopeOf(message: IncomingMessage, body: Body = bodyOf(message)): Envelope {
  const { headers = {}, correlationId, messageId, timestamp } = message.properties
  const payload = body.decoded ? body.value : { $bytes: Buffer.from(message.body).toString('base64') }
  const kind = kindOf(message)
  const isLog = kind === 'log' && typeof payload === 'object' && payload !== null
  const gelf = isLog ? (payload as Record<string, unknown>) : {}
  return {
    ts: timeOf(timestamp, gelf['timestamp']).toISOString(),
    kind,
    name: message.routingKey,
    service: serviceOf(message, kind),
    conversation_id: text(headers['conversation_id'] ?? gelf['_conversation_id']),
    correlation_id: text(correlationId),
    causation_id: text(headers['causation_id']),
    message_id: text(messageId),
    status: text(headers['status']),
    redelivered: message.redelivered,
    headers,
    payload,
    ...(body.decoded ? undefined : { problem: body.problem }),
  }
}

/** The envelope on one line. */
export function envelopeLine(message: IncomingMessage, more: Readonly<Record<string, unknown>> = {}): string {
  return toJson({ ...envelopeOf(message), ...more })
}

/** The line of a log record; empty when it says nothing. */
export function logLineOf({ payload }: Pick<Envelope, 'payload'>): string {
  const short = typeof payload === 'object' && payload !== null ? Reflect.get(payload, 'short_message') : undefined
  return typeof short === 'string' ? short : ''
}

/** What a message is, or was before it died. */
export function kindOf({ exchange, properties: { headers = {}, replyTo } }: IncomingMessage): Kind {
  switch (firstDeathOf(headers)?.exchange ?? exchange) {
    case EXCHANGES.event:
      return 'event'
    case EXCHANGES.configuration:
      return 'configuration'
    case EXCHANGES.log:
      return 'log'
    case EXCHANGES.command:
      return (headers['status'] ?? '') === '' || (replyTo ?? '') !== '' ? 'command' : 'result'
    default:
      return 'other'
  }
}

function serviceOf({ routingKey, properties }: IncomingMessage, kind: Kind): string | null {
  if (kind !== 'command' && kind !== 'result' && kind !== 'log') return text(properties.appId)
  const dot = routingKey.lastIndexOf('.')
  return dot > 0 ? routingKey.slice(0, dot) : routingKey
}

function timeOf(sent: Date | undefined, logged: unknown): Date {
  const time = sent ?? (typeof logged === 'number' ? new Date(logged * 1000) : undefined)
  return time === undefined || Number.isNaN(time.getTime()) ? new Date() : time
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}
