/** Dead letters for tests: messages that really died, in queues that really hold them. */
import type { Options } from 'amqplib'
import type { Probe } from '../bus/bus.ts'

/** A queue whose rejected messages go to a queue of dead letters. */
export interface Grave {
  /** Where the messages die. */
  readonly live: string
  /** Where they lie then. */
  readonly dead: string
}

/** Declares both queues; the live one takes these events. */
export async function dig(probe: Probe, name: string, ...patterns: readonly string[]): Promise<Grave> {
  const grave = { live: `${name}.events`, dead: `${name}-dead` }
  const channel = await probe.channel()
  await channel.assertExchange(`${name}-dlx`, 'topic', { durable: true })
  await channel.close()
  await probe.declareQueue(grave.dead)
  await probe.bind(grave.dead, `${name}-dlx`, '#')
  await probe.declareQueue(grave.live, { durable: true, deadLetterExchange: `${name}-dlx` })
  for (const pattern of patterns) await probe.bind(grave.live, 'events', pattern)
  return grave
}

/** Publishes events, and rejects them. */
export async function bury(
  probe: Probe,
  { live, dead }: Grave,
  count: number,
  make: (n: number) => Options.Publish & { readonly routingKey: string; readonly body?: unknown },
): Promise<void> {
  const before = (await probe.counts(dead)).messages
  await Promise.all(Array.from({ length: count }, (_, n) => probe.publish({ exchange: 'events', ...make(n) })))
  await rejectAll(probe, live, count)
  while ((await probe.counts(dead)).messages < before + count) await new Promise((resolve) => setImmediate(resolve))
}

/** Rejects what is in a queue, and what comes, until it were so many. */
export async function rejectAll(probe: Probe, queue: string, count: number): Promise<void> {
  const channel = await probe.channel()
  await channel.prefetch(500)
  let rejected = 0
  await new Promise<void>((resolve, reject) => {
    channel
      .consume(queue, (message) => {
        if (message === null) return
        channel.nack(message, false, false)
        rejected += 1
        if (rejected === count) resolve()
      })
      .catch(reject)
  })
  await channel.close()
}

/** The bodies of all messages of a queue, which they leave. */
export async function drain(probe: Probe, queue: string): Promise<readonly string[]> {
  const channel = await probe.channel()
  const bodies: string[] = []
  for (;;) {
    const message = await channel.get(queue, { noAck: true })
    if (message === false) break
    bodies.push(message.content.toString('utf8'))
  }
  await channel.close()
  return bodies
}
