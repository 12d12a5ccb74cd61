/** `rascal`, as its documentation has it: it acknowledges each message by itself. */
import { once } from 'node:events'
import rascal from 'rascal'
import { v7 } from 'uuid'
import { callForAWhile, cannot, Progress, publishAll, released, task } from './contender.mjs'
import { decode, encode, payloadOf } from './payload.mjs'

const CBOR = { persistent: true, contentType: 'application/cbor' }
const payload = payloadOf(task.size)
const replies = `reply.${process.pid}`
const { scenario, url, prefetch } = task

/** @param {string} exchange @param {string} routingKey */
const publication = (exchange, routingKey) => ({ exchange, routingKey, confirm: true })
/** @param {string} queue */
const subscription = (queue, count = prefetch) => ({ queue, prefetch: count })
const isCommand = scenario === 'command'

const broker = await rascal.BrokerAsPromised.create({
  vhosts: {
    '/': {
      connection: { url },
      exchanges: { events: { type: 'topic' }, commands: { type: 'topic' } },
      queues: {
        'bench.events': {},
        ...(isCommand ? { 'bench.commands': {}, [replies]: { options: { exclusive: true, durable: false } } } : {}),
      },
      bindings: [
        `events[${scenario === 'heavy' ? 'Heavy' : 'Job'}] -> bench.events`,
        ...(isCommand ? ['commands[bench.Echo] -> bench.commands', `commands[${replies}] -> ${replies}`] : []),
      ],
      publications: {
        job: publication('events', 'Job'),
        done: publication('events', 'Done'),
        heavy: publication('events', 'Heavy'),
        echo: publication('commands', 'bench.Echo'),
        answer: publication('commands', replies),
      },
      subscriptions: {
        events: subscription('bench.events', scenario === 'heavy' ? 1 : prefetch),
        ...(isCommand ? { commands: subscription('bench.commands'), replies: subscription(replies, 1000) } : {}),
      },
    },
  },
})
broker.on('error', (error) => process.stderr.write(`${error.stack}\n`))

/** @param {string} name @param {Buffer} body @param {object} options */
async function publish(name, body, options = CBOR) {
  const own = { messageId: v7(), timestamp: Math.floor(Date.now() / 1000), appId: 'bench' }
  const publishing = await broker.publish(name, body, { options: { ...own, ...options } })
  await once(publishing, 'success')
}

/** @param {string} name @param {(body: Buffer, message: import('amqplib').Message) => Promise<unknown> | void} handle */
async function subscribe(name, handle) {
  const subscribed = await broker.subscribe(name)
  subscribed.on('message', async (message, content, ackOrNack) => {
    await handle(content, message)
    ackOrNack()
  })
}

const progress = new Progress()
switch (scenario) {
  case 'publish':
    await publishAll(() => publish('job', encode(payload)))
    break
  case 'consume':
    await subscribe('events', (body) => {
      decode(body)
      progress.done()
    })
    await progress.finished
    break
  case 'pipeline':
    await subscribe('events', async (body, { properties: { headers, messageId } }) => {
      const causes = { conversation_id: headers?.['conversation_id'], causation_id: messageId }
      await publish('done', encode(decode(body)), { ...CBOR, headers: causes })
      progress.done()
    })
    await progress.finished
    break
  case 'command': {
    /** @type {Map<string, (answer: unknown) => void>} */
    const waiting = new Map()
    await subscribe('commands', (body, { properties: { correlationId } }) =>
      publish('answer', encode(decode(body)), { ...CBOR, correlationId }),
    )
    await subscribe('replies', (body, { properties: { correlationId } }) => {
      waiting.get(correlationId)?.(decode(body))
      waiting.delete(correlationId)
    })
    let calls = 0
    await callForAWhile(() => {
      const correlationId = String((calls += 1))
      const answer = new Promise((resolve) => waiting.set(correlationId, resolve))
      publish('echo', encode(payload), { ...CBOR, correlationId, replyTo: replies }).catch(() => {})
      return answer
    })
    break
  }
  case 'heavy': {
    const body = Buffer.alloc(task.size, 1)
    await subscribe('events', () => progress.done())
    for (let n = 0; n < task.warmup + task.messages; n++) await publish('heavy', body, { persistent: true })
    await progress.finished
    break
  }
  case 'log':
  case 'start':
    cannot()
}
await released()
await broker.shutdown()
