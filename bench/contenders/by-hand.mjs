/**
 * How a program that is written by hand on a client library does the scenarios, with the guarantees of the toolkit: persistent messages
 * that are confirmed, acknowledgements after that, a connection for each way, and an envelope with ids.
 */
import { v7 } from 'uuid'
import { AcksPerTurn, callForAWhile, logAll, Progress, publishAll, released, say, task } from './contender.mjs'
import { decode, encode, payloadOf } from './payload.mjs'

/**
 * @typedef {object} Message
 * @property {number} tag
 * @property {Uint8Array} body
 * @property {string | undefined} messageId
 * @property {string | undefined} correlationId
 * @property {string | undefined} replyTo
 * @property {string | undefined} conversationId
 *
 * @typedef {object} Envelope
 * @property {boolean} [persistent]
 * @property {string} [correlationId]
 * @property {string} [replyTo]
 * @property {string} [contentType]
 * @property {Record<string, string>} [headers]
 *
 * @typedef {object} Client what is made of a library
 * @property {(exchange: string, key: string, body: Uint8Array, envelope: Envelope & { messageId: string }) => Promise<unknown>} publish
 *   resolves when it is confirmed
 * @property {(exchange: string, key: string, body: Uint8Array) => unknown} publishUnconfirmed
 * @property {(queue: string, prefetch: number, onMessage: (message: Message) => unknown) => Promise<void>} consume
 * @property {(tag: number, multiple: boolean) => unknown} ack
 * @property {(queue: string, exchange: string, keys: string[]) => Promise<void>} declare
 * @property {() => Promise<unknown>} close
 */

/** @param {() => Promise<Client>} connect */
export async function runByHand(connect) {
  const began = performance.now()
  const client = await connect()
  const payload = payloadOf(task.size)

  const send = sender(client)
  /** @param {string} queue @param {(message: Message) => Promise<unknown> | void} handle */
  const consume = (queue, handle, prefetch = task.prefetch) => {
    const acks = new AcksPerTurn((tag, multiple) => client.ack(tag, multiple))
    return client.consume(queue, prefetch, async (message) => {
      acks.delivered(message.tag)
      await handle(message)
      acks.done(message.tag)
    })
  }

  switch (task.scenario) {
    case 'publish':
      await publishAll(() => send('events', 'Job', payload, { headers: { conversation_id: v7() } }))
      break
    case 'consume': {
      const progress = new Progress()
      await client.declare('bench.events', 'events', ['Job'])
      await consume('bench.events', (message) => {
        decode(message.body)
        progress.done()
      })
      await progress.finished
      break
    }
    case 'pipeline': {
      const progress = new Progress()
      await client.declare('bench.events', 'events', ['Job'])
      await consume('bench.events', async (message) => {
        const { conversationId = '', messageId = '' } = message
        const headers = { conversation_id: conversationId, causation_id: messageId }
        await send('events', 'Done', decode(message.body), { headers })
        progress.done()
      })
      await progress.finished
      break
    }
    case 'command':
      await client.declare('bench.commands', 'commands', ['bench.Echo'])
      await consume('bench.commands', async ({ body, correlationId = '', replyTo = '', conversationId = '' }) => {
        const headers = { conversation_id: conversationId, status: 'success' }
        await send('commands', replyTo, decode(body), { correlationId, headers })
      })
      // the caller is another program as a rule
      await callByHand(await connect(), payload)
      break
    case 'heavy': {
      const body = Buffer.alloc(task.size, 1)
      const progress = new Progress()
      await client.declare('bench.events', 'events', ['Heavy'])
      await consume('bench.events', () => progress.done(), 1)
      const headers = { conversation_id: v7() }
      for (let n = 0; n < task.warmup + task.messages; n++)
        await client.publish('events', 'Heavy', body, {
          persistent: true,
          messageId: v7(),
          contentType: 'application/octet-stream',
          headers,
        })
      await progress.finished
      break
    }
    case 'log':
      await logAll(() => {
        const seconds = Date.now() / 1000
        const record = {
          version: '1.1',
          host: 'bench',
          level: 6,
          short_message: 'something happened',
          timestamp: seconds,
        }
        const fields = { _count: 1, _name: 'Ada' }
        return client.publishUnconfirmed('logs', 'bench.INFO', Buffer.from(JSON.stringify({ ...record, ...fields })))
      }, client.close)
      await released()
      return
    case 'start':
      say('begin')
      await client.declare('bench.events', 'events', ['Job'])
      await consume('bench.events', () => {})
      say('end', { startMs: performance.now() - began })
      break
  }
  await released()
  await client.close()
}

/** A message as `amqplib` gives it. @param {import('amqplib').ConsumeMessage} message @returns {Message} */
export function fromAmqplib({ fields: { deliveryTag }, properties, content }) {
  const { messageId, correlationId, replyTo, headers } = properties
  const conversationId = headers?.['conversation_id']
  return { tag: deliveryTag, body: content, messageId, correlationId, replyTo, conversationId }
}

/** Publishes with an envelope of its own each time. @param {Client} client */
function sender(client) {
  return (
    /** @type {string} */ exchange,
    /** @type {string} */ key,
    /** @type {unknown} */ content,
    /** @type {Envelope} */ envelope,
  ) =>
    client.publish(exchange, key, encode(content), {
      persistent: true,
      messageId: v7(),
      contentType: 'application/cbor',
      ...envelope,
    })
}

/** @param {Client} client @param {unknown} payload */
async function callByHand(client, payload) {
  const send = sender(client)
  const replies = `reply.${v7()}`
  /** @type {Map<string, (answer: unknown) => void>} */
  const waiting = new Map()
  await client.declare(replies, 'commands', [replies])
  await client.consume(replies, 1000, ({ tag, body, correlationId = '' }) => {
    waiting.get(correlationId)?.(decode(body))
    waiting.delete(correlationId)
    client.ack(tag, false)
  })
  await callForAWhile(() => {
    const correlationId = v7()
    const answer = new Promise((resolve) => waiting.set(correlationId, resolve))
    const headers = { conversation_id: correlationId }
    send('commands', 'bench.Echo', payload, { correlationId, replyTo: replies, headers }).catch(() => {})
    return answer
  })
  await client.close()
}
