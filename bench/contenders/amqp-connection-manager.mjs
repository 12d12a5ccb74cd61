/** `amqp-connection-manager`: amqplib that connects again by itself, otherwise by hand. */
import { connect } from 'amqp-connection-manager'
import { fromAmqplib, runByHand } from './by-hand.mjs'
import { task } from './contender.mjs'

await runByHand(async () => {
  const [incoming, outgoing] = [connect([task.url]), connect([task.url])]
  const consuming = incoming.createChannel({})
  const [publishing, logging] = [outgoing.createChannel({ confirm: true }), outgoing.createChannel({ confirm: false })]
  await Promise.all([consuming, publishing, logging].map((channel) => channel.waitForConnect()))
  return {
    publish: (exchange, key, body, envelope) =>
      publishing.publish(exchange, key, Buffer.from(body.buffer, body.byteOffset, body.byteLength), {
        ...envelope,
        timestamp: Math.floor(Date.now() / 1000),
        appId: 'bench',
      }),
    publishUnconfirmed: (exchange, key, body) => logging.publish(exchange, key, Buffer.from(body)),
    declare: async (queue, exchange, keys) => {
      const isOwn = queue.startsWith('reply.')
      await consuming.assertQueue(queue, { durable: !isOwn, exclusive: isOwn })
      for (const key of keys) await consuming.bindQueue(queue, exchange, key)
    },
    consume: async (queue, prefetch, onMessage) => {
      await consuming.consume(queue, (message) => onMessage(fromAmqplib(message)), { prefetch })
    },
    ack: (tag, multiple) => consuming.ack(/** @type {any} */ ({ fields: { deliveryTag: tag } }), multiple),
    close: () => Promise.all([incoming.close(), outgoing.close()]),
  }
})
