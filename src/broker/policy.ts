/**
 * Policies: what an operator sets for all queues or exchanges of certain names. Of those that match, the one of the highest priority
 * counts, alone. Source: RabbitMQ's guide to policies.
 */

/** As the management API has it. */
export interface Policy {
  /** @default '/' */
  readonly vhost?: string
  readonly name: string
  /** A regular expression, found anywhere in the name. */
  readonly pattern: string
  /** Such as `{ 'dead-letter-exchange': 'dlx' }`. */
  readonly definition: Readonly<Record<string, unknown>>
  /** @default 'all' */
  readonly applyTo?: 'all' | 'queues' | 'exchanges' | 'classic_queues'
  /** @default 0 */
  readonly priority?: number
}

const KNOWN: ReadonlyMap<string, 'number' | 'string'> = new Map([
  ['message-ttl', 'number'],
  ['expires', 'number'],
  ['max-length', 'number'],
  ['max-length-bytes', 'number'],
  ['overflow', 'string'],
  ['dead-letter-exchange', 'string'],
  ['dead-letter-routing-key', 'string'],
  ['alternate-exchange', 'string'],
  // how RabbitMQ stores a queue; here all are in memory
  ['queue-mode', 'string'],
])

export class Policies {
  readonly #policies = new Map<string, { readonly policy: Policy; readonly expression: RegExp }>()

  /** @throws Error for a definition that this broker does not know, or a pattern that is none */
  set(policy: Policy): void {
    for (const [key, value] of Object.entries(policy.definition)) {
      const type = KNOWN.get(key)
      if (type === undefined)
        throw new Error(
          `policy '${policy.name}': '${key}' is not implemented; known are ${[...KNOWN.keys()].join(', ')}`,
        )
      if (typeof value !== type) throw new Error(`policy '${policy.name}': '${key}' must be a ${type}`)
    }
    this.#policies.set(policy.name, { policy, expression: new RegExp(policy.pattern) })
  }

  clear(name: string): void {
    this.#policies.delete(name)
  }

  /** The policy that counts for a queue or an exchange. */
  of(kind: 'queues' | 'exchanges', name: string): Policy | undefined {
    let found: Policy | undefined
    for (const { policy, expression } of this.#policies.values()) {
      const { applyTo = 'all', priority = 0 } = policy
      const applies = applyTo === 'all' || applyTo === kind || (applyTo === 'classic_queues' && kind === 'queues')
      if (applies && expression.test(name) && (found === undefined || priority > (found.priority ?? 0))) found = policy
    }
    return found
  }

  list(): readonly Policy[] {
    return [...this.#policies.values()].map(({ policy }) => policy)
  }
}
