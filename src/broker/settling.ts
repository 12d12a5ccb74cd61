/**
 * What a client settles at once: RabbitMQ tells each queue of it consumer by consumer, first of what was fetched with basic.get. A queue that
 * is full drops each time what is too much, and so the order shows.
 */
import type { Subscription } from './channel.ts'
import type { Queue, QueueEntry } from './queue.ts'

/** A delivery that is not settled. */
export interface Unsettled {
  readonly entry: QueueEntry
  /** None for basic.get. */
  readonly consumer: Subscription | undefined
}

/** Those of one queue and one consumer, or of one queue. */
export type Group = readonly Unsettled[]

export function byConsumer(all: readonly Unsettled[]): readonly Group[] {
  return grouped(all, ({ entry }) => entry.queue)
    .toSorted(([one], [other]) => order(one.name, other.name))
    .flatMap(([, ofQueue]) =>
      // no tag is empty: what was fetched comes first
      grouped(ofQueue, ({ consumer }) => consumer?.consumer.tag ?? '')
        .toSorted(([one], [other]) => order(one, other))
        .map(([, ofConsumer]) => ofConsumer),
    )
}

/** All of a queue at once, as when a channel ends. */
export function byQueue(all: readonly Unsettled[]): readonly Group[] {
  return grouped(all, ({ entry }) => entry.queue).map(([, ofQueue]) => ofQueue)
}

/** Gives deliveries back to their queue. */
export function requeue(group: Group): void {
  group[0]?.entry.queue.requeue(group.map(({ entry }) => entry))
}

function grouped<K extends Queue | string>(
  all: readonly Unsettled[],
  keyOf: (one: Unsettled) => K,
): readonly (readonly [K, readonly Unsettled[]])[] {
  const groups = new Map<K, Unsettled[]>()
  for (const one of all) {
    const key = keyOf(one)
    const own = groups.get(key)
    if (own === undefined) groups.set(key, [one])
    else own.push(one)
  }
  return [...groups]
}

function order(one: string, other: string): number {
  return one === other ? 0 : one < other ? -1 : 1
}
