/** The broker's side of a run: a virtual host of its own, its queues, and the messages that wait in them. */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type AMQPChannel, AMQPClient } from '@cloudamqp/amqp-client'
import type { Broker } from '../dev/broker.mjs'
import { encode, payloadOf } from './contenders/payload.mjs'
import type { Case } from './scenarios.ts'

const EXCHANGES = ['events', 'commands', 'configurations', 'logs']
/** Publishes of the filling that are on their way. */
const WINDOW = 2_000

export interface Bus extends AsyncDisposable {
  readonly url: string
  /** @throws Error unless all messages are where they belong, and nothing is left of what was to be consumed */
  check(contender: string): Promise<void>
  /** Waits until so many messages wait in a queue. */
  until(queue: string, count: number): Promise<void>
}

/** What waits where when all is done, if messages are counted. */
function expectedOf({ scenario, messages, warmup }: Case): Record<string, number> {
  const all = messages + warmup
  switch (scenario) {
    case 'publish':
      return { 'bench.events': all }
    case 'consume':
      return { 'bench.events': 0 }
    case 'pipeline':
      return { 'bench.events': 0, done: all }
    case 'log':
      return { log: all }
    case 'command':
    case 'heavy':
    case 'start':
      return {}
  }
}

/**
 * Prepares what a case needs. What consumes finds all its messages waiting, so that no other program works beside it.
 * @param vhosts where the virtual hosts are made
 */
export async function prepare(broker: Broker, each: Case): Promise<Bus> {
  const vhost = `bench-${randomUUID()}`
  await broker.api('PUT', `/vhosts/${vhost}`, { default_queue_type: each.queues })
  await broker.api('PUT', `/permissions/${vhost}/guest`, { configure: '.*', write: '.*', read: '.*' })
  const url = `${broker.url.replace('//', '//guest:guest@')}/${vhost}`
  await withChannel(url, async (channel) => {
    for (const exchange of EXCHANGES) await channel.exchangeDeclare(exchange, 'topic', { durable: true })
    const { scenario } = each
    if (scenario === 'publish' || scenario === 'consume' || scenario === 'pipeline') {
      await channel.queueDeclare('bench.events', { durable: true })
      await channel.queueBind('bench.events', 'events', 'Job')
    }
    if (scenario === 'pipeline') {
      await channel.queueDeclare('done', { durable: true })
      await channel.queueBind('done', 'events', 'Done')
    }
    if (scenario === 'log') {
      await channel.queueDeclare('log', { durable: true })
      await channel.queueBind('log', 'logs', '#')
    }
    if (scenario === 'consume' || scenario === 'pipeline') {
      await channel.confirmSelect()
      const body = encode(payloadOf(each.size))
      let left = each.messages + each.warmup
      while (left > 0) {
        const burst = Math.min(left, WINDOW)
        left -= burst
        const sent = Array.from({ length: burst }, () =>
          channel.basicPublish('events', 'Job', body, {
            deliveryMode: 2,
            contentType: 'application/cbor',
            messageId: randomUUID(),
            appId: 'filler',
            headers: { conversation_id: randomUUID() },
          }),
        )
        await Promise.all(sent)
      }
    }
  })
  return {
    url,
    check: async (contender) => {
      for (const [queue, expected] of Object.entries(expectedOf(each))) {
        const { messageCount } = await withChannel(url, (channel) => channel.queueDeclare(queue, { passive: true }))
        if (messageCount !== expected)
          throw new Error(`${contender} left ${messageCount} messages in queue '${queue}', not ${expected}`)
      }
    },
    until: (queue, count) =>
      withChannel(url, async (channel) => {
        while ((await channel.queueDeclare(queue, { passive: true })).messageCount < count) await delay(20)
      }),
    [Symbol.asyncDispose]: async () => {
      await broker.api('DELETE', `/vhosts/${vhost}`)
    },
  }
}

async function withChannel<T>(url: string, use: (channel: AMQPChannel) => Promise<T>): Promise<T> {
  const connection = await new AMQPClient(url).connect()
  try {
    return await use(await connection.channel())
  } finally {
    await connection.close()
  }
}
