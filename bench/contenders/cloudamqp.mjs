/** `@cloudamqp/amqp-client` by hand: the library below the toolkit. */
import { AMQPClient } from '@cloudamqp/amqp-client'
import { runByHand } from './by-hand.mjs'
import { task } from './contender.mjs'

/** The library leaves Nagle's algorithm on. @returns {Promise<any>} */
async function connect() {
  /** @type {any} */
  const client = new AMQPClient(task.url)
  const connection = await client.connect()
  client.socket.setNoDelay(true)
  return connection
}

await runByHand(async () => {
  const [incoming, outgoing] = await Promise.all([connect(), connect()])
  const [consuming, publishing, logging] = [
    await incoming.channel(),
    await outgoing.channel(),
    await outgoing.channel(),
  ]
  await publishing.confirmSelect()
  /** @type {Map<string, (message: any) => unknown>} */
  const handlers = new Map()
  // by itself the library loses what arrives together with the broker's answer to the request to consume
  consuming.deliver = (/** @type {any} */ message) => queueMicrotask(() => handlers.get(message.consumerTag)?.(message))
  return {
    publish: (exchange, key, body, { persistent, ...properties }) =>
      publishing.basicPublish(exchange, key, body, {
        ...properties,
        deliveryMode: persistent ? 2 : 1,
        timestamp: new Date(),
        appId: 'bench',
      }),
    publishUnconfirmed: (exchange, key, body) => logging.basicPublish(exchange, key, body),
    declare: async (queue, exchange, keys) => {
      const isOwn = queue.startsWith('reply.')
      await consuming.queueDeclare(queue, { durable: !isOwn, exclusive: isOwn })
      for (const key of keys) await consuming.queueBind(queue, exchange, key)
    },
    consume: async (queue, prefetch, onMessage) => {
      await consuming.basicQos(prefetch)
      handlers.set(queue, (message) =>
        onMessage({
          tag: message.deliveryTag,
          body: message.body,
          messageId: message.properties.messageId,
          correlationId: message.properties.correlationId,
          replyTo: message.properties.replyTo,
          conversationId: message.properties.headers?.conversation_id,
        }),
      )
      await consuming.basicConsume(queue, { noAck: false, tag: queue }, () => {})
    },
    ack: (tag, multiple) => consuming.basicAck(tag, multiple),
    close: () => Promise.all([incoming.close(), outgoing.close()]),
  }
})
