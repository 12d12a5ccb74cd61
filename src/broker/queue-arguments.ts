/** What a queue's arguments ask for: checked when it is declared, and compared when it is declared again. */
import { AmqpException, named, notImplemented, unreadable } from './exceptions.ts'
import { type Field, type FieldTable, integerIn, shownField, textIn, typeNameOf } from './field-table.ts'

/** What rules a queue: its arguments and its policy, taken together. */
export interface QueueSettings {
  readonly messageTtlMs?: number | undefined
  /** How long it may stay unused. */
  readonly expiresMs?: number | undefined
  readonly maxLength?: number | undefined
  readonly maxBytes?: number | undefined
  readonly overflow: 'drop-head' | 'reject-publish' | 'reject-publish-dlx'
  readonly deadLetterExchange?: string | undefined
  readonly deadLetterRoutingKey?: string | undefined
}

/** Leaving them out means the same as their default. */
const DEFAULTED: ReadonlySet<string> = new Set(['x-queue-type', 'x-queue-mode'])

/** What is wrong with it. */
type Check = (field: Field) => string | undefined
type ArgumentCheck = (field: Field, all: FieldTable) => string | undefined

const natural: Check = (field) => {
  const value = integerIn(field)
  if (value === undefined) return `"expected integer, got ${typeNameOf(field)}"`
  return value < 0 ? `{value_negative,${value}}` : undefined
}
const positive: Check = (field) => (integerIn(field) === 0 ? '{value_zero,0}' : natural(field))
const text: Check = (field) => (textIn(field) === undefined ? `{unacceptable_type,${typeNameOf(field)}}` : undefined)
const oneOf =
  (isOne: (value: string) => boolean, problem: (value: string) => string): Check =>
  (field) =>
    text(field) ?? (isOne(textIn(field) ?? '') ? undefined : problem(textIn(field) ?? ''))
const overflow = oneOf(isOverflow, () => 'invalid_overflow')
const mode = oneOf(
  (value) => value === 'default' || value === 'lazy',
  (value) => `"unsupported queue mode '${value}'"`,
)
const type = oneOf(
  (value) => QUEUE_TYPES.has(value),
  (value) => `"unsupported queue type '${value}'"`,
)
const priority: Check = (field) =>
  natural(field) ?? ((integerIn(field) ?? 0) > 255 ? `{max_value_exceeded,${integerIn(field)}}` : undefined)
const version: Check = (field) =>
  natural(field) ??
  (integerIn(field) === 1 || integerIn(field) === 2 ? undefined : `"unsupported queue version '${integerIn(field)}'"`)
const routingKey: ArgumentCheck = (field, all) =>
  text(field) ?? (all.has('x-dead-letter-exchange') ? undefined : 'routing_key_but_no_dlx_defined')
const integer: Check = (field) =>
  integerIn(field) === undefined ? `"expected integer, got ${typeNameOf(field)}"` : undefined
const flag: Check = (field) => (field.type === 't' ? undefined : `{unacceptable_type,${typeNameOf(field)}}`)

/** The arguments that mean something, in the order in which RabbitMQ checks them. */
const CHECKS: ReadonlyMap<string, ArgumentCheck> = new Map([
  ['x-queue-type', type],
  ['x-expires', positive],
  ['x-message-ttl', natural],
  ['x-dead-letter-exchange', text],
  ['x-dead-letter-routing-key', routingKey],
  ['x-max-length', natural],
  ['x-max-length-bytes', natural],
  ['x-max-priority', priority],
  ['x-overflow', overflow],
  ['x-queue-mode', mode],
  ['x-queue-version', version],
  ['x-single-active-consumer', flag],
])
/** Of consumers. */
const CONSUMER_CHECKS: ReadonlyMap<string, ArgumentCheck> = new Map([
  ['x-priority', integer],
  ['x-cancel-on-ha-failover', flag],
])
/** They mean something for quorum queues and streams alone, and are refused for others. */
const OF_OTHER_TYPES: ReadonlySet<string> = new Set([
  'x-delivery-limit',
  'x-dead-letter-strategy',
  'x-initial-cluster-size',
  'x-max-age',
  'x-max-in-memory-bytes',
  'x-max-in-memory-length',
  'x-queue-leader-locator',
  'x-quorum-initial-group-size',
  'x-stream-max-segment-size-bytes',
])
/** What RabbitMQ has; here there is the first alone. */
const QUEUE_TYPES: ReadonlySet<string> = new Set(['classic', 'quorum', 'stream'])
const UNKNOWN_HERE = ['x-max-priority']
/** It says where in a cluster a queue is: here there is one place. */
const LOCATOR = 'x-queue-master-locator'
const LOCATORS: ReadonlySet<string> = new Set(['client-local', 'min-masters', 'random'])
const COMPARED: readonly string[] = [...CHECKS.keys(), LOCATOR]
/** Of a bound of some weeks, as RabbitMQ's timers have it. */
const MOST_MS = 0xffff_ffff

/** @throws AmqpException (406) for a value that makes no sense, (540) for what this broker does not do */
export function checkArguments(args: FieldTable, name: string, vhost: string): void {
  for (const [key, check] of CHECKS) {
    const field = args.get(key)
    if (field === undefined) continue
    const value = integerIn(field)
    const tooLarge = (key === 'x-expires' || key === 'x-message-ttl') && value !== undefined && value > MOST_MS
    const problem = tooLarge ? `{value_too_large,${value}}` : check(field, args)
    // RabbitMQ says it in other words of this one
    if (problem !== undefined && key === 'x-dead-letter-exchange')
      throw new AmqpException(
        406,
        `invalid type '${typeNameOf(field)}' for arg '${key}' in ${named('queue', name, vhost)}`,
      )
    if (problem !== undefined)
      throw new AmqpException(406, `invalid arg '${key}' for ${named('queue', name, vhost)}: ${problem}`)
  }
  const queueType = textIn(args.get('x-queue-type')) ?? 'classic'
  if (queueType !== 'classic') throw notImplemented(`queues of type '${queueType}'`)
  for (const key of args.keys()) if (OF_OTHER_TYPES.has(key)) throw refusedByType(key, name, vhost)
  const locator = args.get(LOCATOR)
  // RabbitMQ fails over one that it does not know
  if (locator !== undefined && !LOCATORS.has(textIn(locator) ?? '')) throw unreadable()
  for (const key of UNKNOWN_HERE) if (args.has(key)) throw notImplemented(`queue argument '${key}'`)
}

/** @throws AmqpException (406) for a value that makes no sense */
export function checkConsumerArguments(args: FieldTable, queue: string, vhost: string): void {
  for (const [key, check] of CONSUMER_CHECKS) {
    const field = args.get(key)
    const problem = field && check(field, args)
    if (problem !== undefined)
      throw new AmqpException(406, `invalid arg '${key}' for ${named('queue', queue, vhost)}: ${problem}`)
  }
  if (args.has('x-stream-offset')) throw refusedByType('x-stream-offset', queue, vhost)
}

/** 406, for an argument that only queues or consumers of other types than the classic one have. */
export function refusedByType(key: string, queue: string, vhost: string): AmqpException {
  return new AmqpException(
    406,
    `invalid arg '${key}' for ${named('queue', queue, vhost)} of queue type rabbit_classic_queue`,
  )
}

/** @throws AmqpException (406) when an argument that means something differs */
export function checkSameArguments(
  what: string,
  current: FieldTable,
  received: FieldTable,
  keys: Iterable<string> = COMPARED,
): void {
  for (const key of keys) {
    const one = current.get(key)
    const other = received.get(key)
    if (DEFAULTED.has(key) && (one === undefined || other === undefined)) continue
    if (sameField(one, other)) continue
    const isAlone = one === undefined || other === undefined
    throw new AmqpException(
      406,
      `inequivalent arg '${key}' for ${what}: received ${valueText(other, isAlone)} but current is ${valueText(one, isAlone)}`,
    )
  }
}

function sameField(one: Field | undefined, other: Field | undefined): boolean {
  if (one === undefined || other === undefined) return one === other
  const number = integerIn(one)
  if (number !== undefined) return number === integerIn(other)
  return one.type === other.type && one.bytes.equals(other.bytes)
}

function valueText(field: Field | undefined, isAlone: boolean): string {
  if (field === undefined) return 'none'
  return isAlone ? `the value '${shownField(field)}' of type '${typeNameOf(field)}'` : `'${shownField(field)}'`
}

/** Arguments and policy together: of numbers the lesser counts, of the rest the argument. */
export function settingsOf(args: FieldTable, policy: Readonly<Record<string, unknown>>): QueueSettings {
  const number = (name: string): number | undefined => {
    const own = integerIn(args.get(`x-${name}`))
    const given = policy[name]
    const values = [own, typeof given === 'number' ? given : undefined].filter((value) => value !== undefined)
    return values.length === 0 ? undefined : Math.min(...values)
  }
  const string = (name: string): string | undefined => {
    const given = policy[name]
    return textIn(args.get(`x-${name}`)) ?? (typeof given === 'string' ? given : undefined)
  }
  const how = string('overflow')
  return {
    messageTtlMs: number('message-ttl'),
    expiresMs: number('expires'),
    maxLength: number('max-length'),
    maxBytes: number('max-length-bytes'),
    overflow: isOverflow(how) ? how : 'drop-head',
    deadLetterExchange: string('dead-letter-exchange'),
    deadLetterRoutingKey: string('dead-letter-routing-key'),
  }
}

export function isOverflow(value: unknown): value is QueueSettings['overflow'] {
  return value === 'drop-head' || value === 'reject-publish' || value === 'reject-publish-dlx'
}
