/** A message of ours that came back, as the returned-message hook sees it. */
import type { OutgoingMessage } from '../wire/message.ts'
import { decodePayload } from '../wire/payload.ts'
import type { ReturnedMessage } from './contexts.ts'

export function returnedMessage({ exchange, routingKey, properties, body }: OutgoingMessage): ReturnedMessage {
  const { conversation_id: conversationId, ...headers } = properties.headers ?? {}
  return {
    exchange,
    routingKey,
    payload: decodePayload(body, properties.contentType),
    conversationId: typeof conversationId === 'string' ? conversationId : '',
    messageId: properties.messageId,
    replyTo: properties.replyTo,
    correlationId: properties.correlationId,
    headers,
  }
}
