/** Messages as they come in, for tests of what is made of them. */
import type { IncomingMessage, IncomingProperties } from '../../src/wire/message.ts'

/** A message of JSON. */
export function message(
  exchange: string,
  routingKey: string,
  payload: unknown,
  properties: IncomingProperties = {},
): IncomingMessage {
  return {
    exchange,
    routingKey,
    redelivered: false,
    deliveryTag: 1,
    properties: { contentType: 'application/json', ...properties },
    body: Buffer.from(JSON.stringify(payload)),
  }
}
