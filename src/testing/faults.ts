/**
 * Faults of broker and network, at will: in the next message that fits, or by chance. Chance comes from the seed of the bus, and from which
 * message it is: the n-th of a service with that routing key meets the same fate each time, in whatever order services run.
 */
import { createHash } from 'node:crypto'
import { InvalidSettingError } from '../errors.ts'
import { checkOptions, checkWhole, describe } from '../options.ts'
import { matches } from '../topology/match.ts'
import { checkPattern } from '../topology/names.ts'

/** Which messages a fault is for, and how many. */
export interface FaultOptions {
  /** A topic pattern, as of handlers. @default any */
  readonly routingKey?: string
  /** The service that receives the message; with `nackPublish`, the one that publishes it. @default any, but not the bus itself */
  readonly service?: string
  /** How many messages that fit have it, at most. @default 1; with a probability, Infinity */
  readonly times?: number
  /** How likely each message that fits has it, from 0 to 1. @default 1 */
  readonly probability?: number
}

/** A fault that was asked for. */
export interface Fault {
  /** How often it happened so far. */
  readonly count: number
  /** From now on it happens no more. */
  readonly end: () => void
}

/** What can go wrong on a bus of tests. Every service has to get along with each of these. */
export interface Faults {
  /** The connection breaks when the service acknowledges the message: it comes again, though its work is done. */
  readonly dropConnectionBeforeAck: (options?: FaultOptions) => Fault
  /** The broker refuses a message (nack): the service sends it again after `publishRetryDelayMs`, by the time of the bus. */
  readonly nackPublish: (options?: FaultOptions) => Fault
  /** The broker delivers the message twice. */
  readonly deliverTwice: (options?: FaultOptions) => Fault
  /** The message comes after the one behind it in its queue; or when nothing else happens any more. */
  readonly reorder: (options?: FaultOptions) => Fault
}

export type FaultKind = keyof Faults

interface Ordered extends Fault {
  count: number
  readonly kind: FaultKind
  readonly options: FaultOptions
  /** How many messages of each service and key fitted so far. */
  readonly seen: Map<string, number>
}

/** A message to which something may happen. */
export interface Candidate {
  readonly service: string | undefined
  readonly routingKey: string
}

export class FaultPlan {
  readonly #seed: number
  readonly #faults: Ordered[] = []
  readonly #ended = new Set<Fault>()

  constructor(seed: number) {
    this.#seed = seed
  }

  /** What users call. */
  readonly faults: Faults = {
    dropConnectionBeforeAck: (options) => this.#order('dropConnectionBeforeAck', options),
    nackPublish: (options) => this.#order('nackPublish', options),
    deliverTwice: (options) => this.#order('deliverTwice', options),
    reorder: (options) => this.#order('reorder', options),
  }

  /** Whether it happens to this message now. */
  strikes(kind: FaultKind, candidate: Candidate): boolean {
    // each counts the message, whatever the others make of it
    return this.#faults.map((fault, place) => fault.kind === kind && this.#hits(fault, place, candidate)).includes(true)
  }

  #hits(fault: Ordered, place: number, { service, routingKey }: Candidate): boolean {
    const { options, seen } = fault
    if (options.service !== undefined && options.service !== service) return false
    if (options.routingKey !== undefined && !matches(options.routingKey, routingKey)) return false
    const { times = options.probability === undefined ? 1 : Infinity, probability = 1 } = options
    const which = `${service ?? ''} ${routingKey}`
    const nth = seen.get(which) ?? 0
    seen.set(which, nth + 1)
    if (this.#ended.has(fault) || fault.count >= times) return false
    if (chance(`${this.#seed} ${place} ${nth} ${which}`) >= probability) return false
    fault.count += 1
    return true
  }

  #order(kind: FaultKind, options: FaultOptions = {}): Fault {
    check(kind, options)
    const fault: Ordered = {
      kind,
      options,
      seen: new Map(),
      count: 0,
      end: () => void this.#ended.add(fault),
    }
    this.#faults.push(fault)
    return fault
  }
}

/** The faults of a broker that cannot be asked for any. */
export function noFaults(): Faults {
  const refuse = (kind: FaultKind) => (): Fault => {
    throw new InvalidSettingError(
      `faults.${kind}`,
      'needs the broker in this process, and the bus is on a RabbitMQ, which fails when it likes: leave the test out there (bus.broker)',
    )
  }
  return {
    dropConnectionBeforeAck: refuse('dropConnectionBeforeAck'),
    nackPublish: refuse('nackPublish'),
    deliverTwice: refuse('deliverTwice'),
    reorder: refuse('reorder'),
  }
}

/** @throws InvalidSettingError */
function check(kind: FaultKind, options: FaultOptions): void {
  const name = `faults.${kind}`
  checkOptions(name, options, ['routingKey', 'service', 'times', 'probability'])
  const { routingKey, times, probability } = options
  if (routingKey !== undefined) checkPattern(`${name}.routingKey`, routingKey)
  if (times !== undefined && times !== Infinity) checkWhole(`${name}.times`, times, 1)
  if (probability !== undefined && !(typeof probability === 'number' && probability >= 0 && probability <= 1))
    throw new InvalidSettingError(`${name}.probability`, `must be a number from 0 to 1, not ${describe(probability)}`)
}

/** A number from 0 to 1, 1 excluded: the same for the same text. */
function chance(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE() / 2 ** 32
}
