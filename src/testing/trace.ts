/**
 * Messages out of the trace that RabbitMQ keeps of a virtual host: each message that is published is told once more, with the key
 * `publish.EXCHANGE`, its body as it is, and all else in headers. Source: RabbitMQ's guide to the firehose tracer.
 */
import type { IncomingMessage } from '../wire/message.ts'

export const TRACE_EXCHANGE = 'amq.rabbitmq.trace'

/** The texts among the properties that a bus of tests looks at. */
const TEXTS = [
  ['contentType', 'content_type'],
  ['correlationId', 'correlation_id'],
  ['replyTo', 'reply_to'],
  ['messageId', 'message_id'],
  ['appId', 'app_id'],
] as const

/** @returns the message that is told of */
export function traced(message: IncomingMessage): IncomingMessage {
  const { headers = {} } = message.properties
  const [routingKey] = Array.isArray(headers['routing_keys']) ? (headers['routing_keys'] as unknown[]) : []
  const properties = tableOf(headers['properties'])
  const texts = TEXTS.flatMap(([name, field]) => {
    const text = properties[field]
    return typeof text === 'string' ? [[name, text]] : []
  })
  return {
    ...message,
    exchange: String(headers['exchange_name']),
    routingKey: String(routingKey),
    properties: { headers: tableOf(properties['headers']), ...Object.fromEntries(texts) },
  }
}

function tableOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
