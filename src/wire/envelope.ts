/**
 * Envelopes: which headers and properties make an event, a command, a result or a configuration, both ways.
 *
 * Reading is strict where the protocol is (a missing conversation id, a command that is neither command nor result) and
 * never throws anything but InvalidMessageError, whatever a peer put in the headers.
 */
import { InvalidMessageError } from '../errors.ts'
import type { IncomingMessage } from './message.ts'

/** What kind of queue a message came through; it decides how the message is read. */
export type QueueKind = 'event' | 'command' | 'configuration'

/** Whether a command worked out. */
export type ResultStatus = 'success' | 'error'

/** What came along with a message, beside its payload. */
export interface Metadata {
  /** All headers but `conversation_id` and `status`. */
  readonly headers: Readonly<Record<string, unknown>>
  /** The exchange that the message was published on. */
  readonly exchange: string
  /** Numbers the deliveries of one channel; changes when the message is delivered again. */
  readonly deliveryTag: number
  /** Whether the broker delivered the message before, to this worker or another. */
  readonly redelivered: boolean
  /** Unique per message and kept over resends; peers written in Python set none. */
  readonly messageId: string | undefined
  /** The `message_id` of the message that caused this one; peers written in Python set none. */
  readonly causationId: string | undefined
  /** When the message was published, to the second. */
  readonly timestamp: Date | undefined
  /** The time to live that the publisher gave, in milliseconds, as text. */
  readonly expiration: string | undefined
  /** The broker's user that published the message, where the publisher named it: the broker refuses a wrong one. We name none. */
  readonly userId: string | undefined
  /** The logical service that published the message; peers written in Python set none. */
  readonly appId: string | undefined
}

interface EnvelopeFields {
  readonly routingKey: string
  readonly conversationId: string
  readonly metadata: Metadata
}

export interface EventEnvelope extends EnvelopeFields {
  readonly kind: 'event'
}
export interface ConfigurationEnvelope extends EnvelopeFields {
  readonly kind: 'configuration'
}
export interface CommandEnvelope extends EnvelopeFields {
  readonly kind: 'command'
  readonly replyTo: string
  readonly correlationId: string
}
export interface ResultEnvelope extends EnvelopeFields {
  readonly kind: 'result'
  readonly status: ResultStatus
  readonly correlationId: string
}
export type Envelope = EventEnvelope | ConfigurationEnvelope | CommandEnvelope | ResultEnvelope

/**
 * Reads the envelope of a message that came through a queue of this kind.
 * @throws InvalidMessageError when its properties cannot be read, when the conversation id is missing (but for
 * configurations), or when a message of the command queue is neither a command nor a result
 */
export function readEnvelope(queue: QueueKind, message: IncomingMessage): Envelope {
  const { headers = {}, unreadable } = message.properties
  if (unreadable !== undefined) throw new InvalidMessageError(message.routingKey, unreadable)
  const { routingKey } = message
  const conversationId = conversationIdOf(message) ?? ''
  const metadata = metadataOf(message)
  if (queue === 'configuration') return { kind: 'configuration', routingKey, conversationId, metadata }
  if (!isPresent(headers, 'conversation_id')) {
    throw new InvalidMessageError(message.routingKey, 'it has no conversation_id header')
  }
  if (queue === 'event') return { kind: 'event', routingKey, conversationId, metadata }

  const correlationId = message.properties.correlationId ?? ''
  const replyTo = message.properties.replyTo
  if (replyTo !== undefined && replyTo !== '')
    return { kind: 'command', routingKey, conversationId, metadata, replyTo, correlationId }
  const status = isPresent(headers, 'status') ? asText(headers['status']) : ''
  if (status === 'success' || status === 'error')
    return { kind: 'result', routingKey, conversationId, metadata, status, correlationId }
  throw new InvalidMessageError(
    message.routingKey,
    status === ''
      ? 'it has neither reply_to (a command) nor a status header (a result)'
      : `its status is '${status}', not 'success' or 'error'`,
  )
}

/** The conversation id of a message as text, whatever type the peer gave it; undefined when there is none. */
export function conversationIdOf(message: IncomingMessage): string | undefined {
  const headers = message.properties.headers
  return headers !== undefined && isPresent(headers, 'conversation_id') ? asText(headers['conversation_id']) : undefined
}

function metadataOf(message: IncomingMessage): Metadata {
  const { headers = {}, messageId, timestamp, expiration, userId, appId } = message.properties
  const rest: Record<string, unknown> = {}
  let causationId: string | undefined
  for (const key of Object.keys(headers)) {
    if (key === 'conversation_id' || key === 'status') continue
    if (key === 'causation_id') causationId = asText(headers[key])
    // a peer may name a header '__proto__': it must become an own property like any other
    if (key === '__proto__') Object.defineProperty(rest, key, { value: headers[key], enumerable: true })
    else rest[key] = headers[key]
  }
  return {
    headers: rest,
    exchange: message.exchange,
    deliveryTag: message.deliveryTag,
    redelivered: message.redelivered,
    messageId: messageId === '' ? undefined : messageId,
    causationId,
    timestamp: timestamp === undefined || Number.isNaN(timestamp.getTime()) ? undefined : timestamp,
    expiration,
    userId,
    appId,
  }
}

function isPresent(headers: Readonly<Record<string, unknown>>, key: string): boolean {
  return Object.hasOwn(headers, key) && headers[key] !== null && headers[key] !== undefined
}

function asText(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Uint8Array) return Buffer.from(value).toString()
  return JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? item.toString() : item)) ?? ''
}
