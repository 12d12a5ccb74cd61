/**
 * Policies: what an operator sets for all queues or exchanges of certain names. Of those that match, the one of the highest priority
 * counts, alone. Source: RabbitMQ's guide to policies.
 */
import { isOverflow } from './queue-arguments.ts'

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

interface Value {
  readonly is: (value: unknown) => boolean
  /** In words. */
  readonly what: string
}

const text: Value = { is: (value) => typeof value === 'string', what: 'a string' }
const natural: Value = { is: (value) => wholeFrom(0, value), what: 'a whole number from 0 on' }
const positive: Value = { is: (value) => wholeFrom(1, value), what: 'a whole number from 1 on' }
const KNOWN: ReadonlyMap<string, Value> = new Map([
  ['message-ttl', natural],
  ['expires', positive],
  ['max-length', natural],
  ['max-length-bytes', natural],
  ['overflow', { is: isOverflow, what: `'drop-head', 'reject-publish' or 'reject-publish-dlx'` }],
  ['dead-letter-exchange', text],
  ['dead-letter-routing-key', text],
  ['alternate-exchange', text],
  // how RabbitMQ stores a queue; here all are in memory
  ['queue-mode', { is: (value) => value === 'default' || value === 'lazy', what: `'default' or 'lazy'` }],
])
/** What the regular expressions of RabbitMQ have, and means something else here. */
const ONLY_ELSEWHERE = /\\[ACEGHKNPQRVXZahpz]|\[\[[:.=]/

export class Policies {
  readonly #policies = new Map<string, { readonly policy: Policy; readonly expression: RegExp }>()

  /** @throws Error for a definition that this broker does not know or makes no sense, or a pattern that is none */
  set(policy: Policy): void {
    const { name, pattern, definition } = policy
    const entries = Object.entries(definition)
    if (entries.length === 0)
      throw new Error(`policy '${name}': it says nothing; known are ${[...KNOWN.keys()].join(', ')}`)
    for (const [key, value] of entries) {
      const known = KNOWN.get(key)
      if (known === undefined)
        throw new Error(`policy '${name}': '${key}' is not implemented; known are ${[...KNOWN.keys()].join(', ')}`)
      if (!known.is(value)) throw new Error(`policy '${name}': '${key}' must be ${known.what}`)
    }
    const [foreign] = ONLY_ELSEWHERE.exec(pattern) ?? []
    if (foreign !== undefined)
      throw new Error(`policy '${name}': '${foreign}' in a pattern is not implemented; write the pattern without it`)
    this.#policies.set(name, { policy, expression: new RegExp(pattern) })
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

function wholeFrom(least: number, value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= least
}
