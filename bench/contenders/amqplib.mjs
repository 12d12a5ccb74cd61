/** `amqplib` by hand. */
import { connect } from 'amqplib'
import { fromAmqplib, runByHand } from './by-hand.mjs'
import { task } from './contender.mjs'

await runByHand(async () => {
  const open = () => connect(task.url, { noDelay: true })
  const [incoming, outgoing] = await Promise.all([open(), open()])
  const consuming = await incoming.createChannel()
  const [publishing, logging] = [await outgoing.createConfirmChannel(), await outgoing.createChannel()]
  return {
    publish: (exchange, key, body, envelope) =>
      new Promise((resolve, reject) => {
        const options = { ...envelope, timestamp: Math.floor(Date.now() / 1000), appId: 'bench' }
        publishing.publish(
          exchange,
          key,
          Buffer.from(body.buffer, body.byteOffset, body.byteLength),
          options,
          (error) => (error ? reject(error) : resolve(undefined)),
        )
      }),
    publishUnconfirmed: (exchange, key, body) => logging.publish(exchange, key, Buffer.from(body)),
    declare: async (queue, exchange, keys) => {
      const isOwn = queue.startsWith('reply.')
      await consuming.assertQueue(queue, { durable: !isOwn, exclusive: isOwn })
      for (const key of keys) await consuming.bindQueue(queue, exchange, key)
    },
    consume: async (queue, prefetch, onMessage) => {
      await consuming.prefetch(prefetch)
      await consuming.consume(queue, (message) => {
        if (message !== null) onMessage(fromAmqplib(message))
      })
    },
    ack: (tag, multiple) => consuming.ack(/** @type {any} */ ({ fields: { deliveryTag: tag } }), multiple),
    close: () => Promise.all([incoming.close(), outgoing.close()]),
  }
})
