/** What a worker has to do at one moment, for whoever waits for it to come to rest: plain data, of its messages and of what it sends. */
import { conversationIdOf, type QueueKind } from '../wire/envelope.ts'
import type { Delivery } from './delivery.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { HookRunner } from './hooks.ts'

/**
 * Where a message is that was delivered.
 *
 * - `arrived`: its handler was not called yet, or never will be
 * - `running`: its handler runs; perhaps on, after the message was lost or its time was up
 * - `held`: its handler left it to be settled later
 * - `confirming`: its handler has ended, and what it published is not confirmed yet
 * - `waiting`: nothing becomes of it before time has passed or something else has happened: it is in a batch that is not full, has no
 *   place among the handlers, is held back by the outage brake, or the store of `once` is down
 */
export type MessageState = 'arrived' | 'running' | 'held' | 'confirming' | 'waiting'

/** A message that was delivered and is not settled, or one whose handler goes on all the same. */
export interface MessageInHand {
  readonly state: MessageState
  /** Which queue of the worker it came from. */
  readonly queue: QueueKind
  readonly routingKey: string
  /** Empty for none. */
  readonly conversationId: string
  readonly correlationId: string | undefined
  readonly messageId: string | undefined
  /** What was published for it and is not confirmed. */
  readonly unconfirmed: number
  /** Since its handler was called, in milliseconds; undefined before. */
  readonly runningMs: number | undefined
}

/** What a worker has to do. */
export interface Work {
  readonly messages: readonly MessageInHand[]
  /** The hooks that run, and a name for each timer whose callback does. */
  readonly calls: readonly string[]
  /** Publishes that are not confirmed. */
  readonly pendingPublishes: number
  /** Those of them that the broker refused, and that wait to be sent again. */
  readonly refusedPublishes: number
}

/** A queue that a worker consumes from, or will when it has its configuration. */
export interface QueueInUse {
  readonly kind: QueueKind
  readonly name: string
  readonly isConsumed: boolean
  /** Messages that wait in it. */
  readonly ready: number
  /** Whether the worker has as many of its messages in hand as it takes. */
  readonly isFull: boolean
}

export function workOf(
  { open, runningOn }: Pick<Dispatcher, 'open' | 'runningOn'>,
  { running }: Pick<HookRunner, 'running'>,
  { pending, refusals }: { readonly pending: number; readonly refusals: { readonly size: number } },
): Work {
  return {
    messages: [...open, ...runningOn].map(inHand),
    calls: [...running].map(({ name }) => name),
    pendingPublishes: pending,
    refusedPublishes: refusals.size,
  }
}

function inHand(delivery: Delivery): MessageInHand {
  const { message, queue, begunAt } = delivery
  return {
    state: stateOf(delivery),
    queue,
    routingKey: message.routingKey,
    conversationId: conversationIdOf(message) ?? '',
    correlationId: message.properties.correlationId,
    messageId: message.properties.messageId,
    unconfirmed: delivery.unconfirmed,
    runningMs: begunAt === undefined ? undefined : performance.now() - begunAt,
  }
}

function stateOf({ isWaiting, isRunning, isManual, begunAt }: Delivery): MessageState {
  if (isWaiting) return 'waiting'
  if (isRunning) return 'running'
  if (isManual) return 'held'
  return begunAt === undefined ? 'arrived' : 'confirming'
}
