/** What a worker declares on the broker, as data: docs/protocol.md, section 2. Every worker declares all of it, idempotently. */
import type { QueueKind } from '../wire/envelope.ts'
import { commandQueueOf, eventQueueOf, EXCHANGES } from './names.ts'

/**
 * What is declared on the broker by whoever uses it: `'all'`; `'queues'` when an administrator has made the exchanges; `'nothing'` when he
 * has made the queues with their bindings as well. What is not declared is checked to be there. Exclusive queues are declared
 * in any case.
 */
export type Declare = 'all' | 'queues' | 'nothing'

/** A queue to declare and to bind. */
export interface QueueDeclaration {
  readonly exchange: string
  /** Empty: the broker chooses a name, and the queue is exclusive and not durable. */
  readonly name: string
  readonly bindings: readonly string[]
}

/** A queue of a worker. */
export interface QueuePlan extends QueueDeclaration {
  readonly kind: QueueKind
}

/** What a service subscribes to, as routing keys or patterns. */
export interface Subscriptions {
  readonly events: readonly string[]
  /** Keys of commands and of results. */
  readonly commands: readonly string[]
  readonly configurations: readonly string[]
}

/** The queues of a worker; those without a subscription are left out. */
export function queuePlans(service: string, subscriptions: Subscriptions, exclusive: boolean): readonly QueuePlan[] {
  const { events, commands, configurations } = subscriptions
  const plans: readonly QueuePlan[] = [
    { kind: 'configuration', exchange: EXCHANGES.configuration, name: '', bindings: configurations },
    { kind: 'event', exchange: EXCHANGES.event, name: exclusive ? '' : eventQueueOf(service), bindings: events },
    {
      kind: 'command',
      exchange: EXCHANGES.command,
      name: exclusive ? '' : commandQueueOf(service),
      bindings: commands,
    },
  ]
  return plans.filter(({ bindings }) => bindings.length > 0)
}
