/** Looking at what is in a queue: nothing is consumed, and everything goes back to its place. */
import type { QueueReader } from '../transport/queue-reader.ts'
import type { IncomingMessage } from '../wire/message.ts'

export interface InspectOptions {
  readonly reader: QueueReader
  /** Which messages to show. @default all */
  readonly matches?: ((message: IncomingMessage) => Promise<boolean>) | undefined
  /** Messages to show at most. @default Infinity */
  readonly count?: number | undefined
  readonly signal: AbortSignal
}

/**
 * The messages that are in the queue now, in order. The broker marks those that were read as redelivered, which uses up the
 * one retry that messages of a service have.
 */
export async function* inspect(options: InspectOptions): AsyncGenerator<IncomingMessage> {
  const { reader, matches, count = Number.POSITIVE_INFINITY, signal } = options
  const { messages } = await reader.counts()
  let shown = 0
  // what is not looked at is not marked either
  for await (const message of reader.messages(matches === undefined ? Math.min(count, messages) : messages)) {
    if (signal.aborted) return
    if (matches !== undefined && !(await matches(message))) continue
    yield message
    shown += 1
    if (shown >= count) return
  }
}
