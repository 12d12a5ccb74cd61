/** Dead letters counted: by name, by where they died, and why. */
import { serviceOfQueue } from '../topology/names.ts'
import type { QueueReader } from '../transport/queue-reader.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { firstDeathOf } from './letter.ts'

/** Letters of one name that died in one queue for one reason. */
export interface DeadGroup {
  /** Where they lie. */
  readonly queue: string
  /** The routing key. */
  readonly name: string
  /** The logical service that gave up on them. What the headers do not say is null. */
  readonly service: string | null
  readonly died_in: string | null
  /** `rejected`, `expired`, `maxlen` or `delivery_limit`. */
  readonly reason: string | null
  readonly count: number
}

/** Counts the letters of a queue, the largest group first. The broker marks them as redelivered. */
export async function countDead(reader: QueueReader, signal: AbortSignal): Promise<readonly DeadGroup[]> {
  const { messages } = await reader.counts()
  const groups = new Map<string, DeadGroup>()
  for await (const letter of reader.messages(messages)) {
    if (signal.aborted) break
    const group = groupOf(letter, reader.queue)
    const id = JSON.stringify(group)
    groups.set(id, { ...group, count: (groups.get(id)?.count ?? 0) + 1 })
  }
  return [...groups.values()].toSorted((a, b) => b.count - a.count)
}

function groupOf(letter: IncomingMessage, queue: string): DeadGroup {
  const death = firstDeathOf(letter.properties.headers ?? {})
  return {
    queue,
    name: letter.routingKey,
    service: death === undefined ? null : (serviceOfQueue(death.queue) ?? death.queue),
    died_in: death?.queue ?? null,
    reason: death?.reason ?? null,
    count: 0,
  }
}
