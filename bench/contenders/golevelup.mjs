/** `@golevelup/nestjs-rabbitmq`, its connection by itself: it acknowledges each message when its handler has ended. */
import 'reflect-metadata'
import { AmqpConnection } from '@golevelup/nestjs-rabbitmq'
import { v7 } from 'uuid'
import { callForAWhile, cannot, Progress, publishAll, released, task } from './contender.mjs'
import { decode, encode, payloadOf } from './payload.mjs'

const { scenario, url, prefetch } = task
const payload = payloadOf(task.size)
const heavy = Buffer.alloc(scenario === 'heavy' ? task.size : 0, 1)
const quiet = { log: () => {}, error: console.error, warn: () => {}, debug: () => {}, verbose: () => {} }

const connection = new AmqpConnection({
  name: 'bench',
  uri: url,
  prefetchCount: scenario === 'heavy' ? 1 : prefetch,
  exchanges: [
    { name: 'events', type: 'topic' },
    { name: 'commands', type: 'topic' },
  ],
  serializer: (value) => (Buffer.isBuffer(value) ? value : encode(value)),
  deserializer: (body) => (scenario === 'heavy' ? body : decode(body)),
  enableDirectReplyTo: true,
  connectionInitOptions: { wait: true },
  logger: quiet,
})
await connection.init()

/** @param {string} routingKey @param {(content: unknown, message: import('amqplib').ConsumeMessage) => Promise<unknown> | void} handle */
const subscribe = (routingKey, handle) =>
  connection.createSubscriber(
    async (content, message) => {
      await handle(content, /** @type {import('amqplib').ConsumeMessage} */ (message))
    },
    { exchange: 'events', routingKey, queue: 'bench.events', queueOptions: { durable: true } },
    'handle',
  )
/** @param {string} routingKey @param {unknown} content */
const publish = (routingKey, content, headers = { conversation_id: v7() }) =>
  connection.publish('events', routingKey, content, {
    persistent: true,
    messageId: v7(),
    timestamp: Math.floor(Date.now() / 1000),
    appId: 'bench',
    contentType: 'application/cbor',
    headers,
  })

const progress = new Progress()
switch (scenario) {
  case 'publish':
    await publishAll(() => publish('Job', payload))
    break
  case 'consume':
    await subscribe('Job', () => progress.done())
    await progress.finished
    break
  case 'pipeline':
    await subscribe('Job', async (content, { properties: { headers, messageId } }) => {
      await publish('Done', content, { conversation_id: headers?.['conversation_id'], causation_id: messageId })
      progress.done()
    })
    await progress.finished
    break
  case 'command':
    await connection.createRpc(async (content) => content, {
      exchange: 'commands',
      routingKey: 'bench.Echo',
      queue: 'bench.commands',
      queueOptions: { durable: true },
    })
    await callForAWhile(() =>
      connection.request({ exchange: 'commands', routingKey: 'bench.Echo', payload, timeout: 30_000 }),
    )
    break
  case 'heavy':
    await subscribe('Heavy', () => progress.done())
    for (let n = 0; n < task.warmup + task.messages; n++) await publish('Heavy', heavy)
    await progress.finished
    break
  case 'log':
  case 'start':
    cannot()
}
await released()
await connection.close()
process.exit()
