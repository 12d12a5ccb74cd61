/**
 * Replaying dead letters: each is published where it died first, and leaves the dead-letter queue only once that is
 * confirmed. So a crash at any point leads to a repeat at worst; letters that are not replayed stay where they are.
 */
import { StoppedError, UnroutableError } from '../errors.ts'
import type { Publisher } from '../transport/publisher.ts'
import { pause } from '../transport/reconnect.ts'
import type { QueueReader } from '../transport/queue-reader.ts'
import type { HeaderValue, IncomingMessage, OutgoingMessage } from '../wire/message.ts'
import { firstDeathOf, withoutDeaths } from './letter.ts'

/** What becomes of a letter. */
export type Outcome =
  /** It was published again, and is gone from the dead letters. */
  | { readonly kind: 'replayed' }
  /** It was only looked at (a dry run). */
  | { readonly kind: 'would-replay' }
  /** The filter left it. */
  | { readonly kind: 'left' }
  /** Its headers do not say where it died. */
  | { readonly kind: 'no-death-headers' }
  /** No queue takes it any more, or the broker refused it. */
  | { readonly kind: 'failed'; readonly problem: string }

export interface ResurrectOptions {
  readonly reader: QueueReader
  readonly publisher: Publisher
  /** Whether to replay this letter. */
  readonly matches: (letter: IncomingMessage) => boolean | Promise<boolean>
  /** Replays at most. @default Infinity */
  readonly count?: number
  /** Letters that are on their way at the same time. @default 500 */
  readonly batchSize?: number
  /** Letters a second at most. @default Infinity */
  readonly rate?: number
  /** Publishes nothing. @default false */
  readonly dryRun?: boolean
  /** Begins with 1, 2, 5, 10, 20, 50… letters, and stops when some come back dead within `settleMs` after a step. */
  readonly canary?: { readonly settleMs: number } | undefined
  readonly signal: AbortSignal
  /** Told of every letter, in the order of the queue; the run waits for what it returns. */
  readonly onLetter: (letter: IncomingMessage, outcome: Outcome) => void | Promise<void>
  /** Told after every batch: letters seen, and letters that there were at the beginning. */
  readonly onProgress?: (seen: number, total: number) => void
  /**
   * Whether a queue that stays would receive the message, where that is known: those who only watch make a message routable, too.
   * @default unknown
   */
  readonly isTaken?: (exchange: string, routingKey: string) => boolean | undefined
}

export interface ResurrectSummary {
  readonly total: number
  readonly seen: number
  readonly replayed: number
  readonly left: number
  readonly failed: number
  /** Letters that came back dead while a canary watched; the run stopped then. */
  readonly cameBack: number
  /** Letters that are in the queue now and were not when the run began; they were not touched. */
  readonly arrived: number
}

interface Tally {
  seen: number
  replayed: number
  left: number
  failed: number
}

const BATCH = 500
/** After so long what is held is put back and taken again: brokers end the channel of who holds messages for half an hour. */
const LONGEST_HOLD_MS = 300_000

/** Replays the letters that are in the queue now; those that arrive meanwhile are not touched. */
export async function resurrect(options: ResurrectOptions): Promise<ResurrectSummary> {
  const { messages } = await options.reader.counts()
  return new Run(options, messages).toItsEnd()
}

class Run {
  readonly #options: ResurrectOptions
  readonly #total: number
  readonly #tally: Tally = { seen: 0, replayed: 0, left: 0, failed: 0 }
  /** What exists, as far as it was asked for. */
  readonly #exchanges = new Map<string, boolean>()
  readonly #queues = new Map<string, boolean>()
  readonly #pace: () => Promise<void>

  constructor(options: ResurrectOptions, total: number) {
    this.#options = options
    this.#total = total
    this.#pace = makePace(options.rate, options.signal)
    // a broker that takes no messages must not keep anybody from stopping
    const stop = (): void =>
      void options.publisher.rejectAll(() => new StoppedError('the run was stopped before it was confirmed'))
    options.signal.addEventListener('abort', stop, { once: true })
  }

  async toItsEnd(): Promise<ResurrectSummary> {
    const { reader, signal, count = Number.POSITIVE_INFINITY, canary } = this.#options
    const tally = this.#tally
    const steps = canarySteps()
    let stepEnd = canary === undefined ? Number.POSITIVE_INFINITY : (steps.next().value ?? 1)
    let cameBack = 0
    let unwatched = 0
    while (tally.seen < this.#total && tally.replayed < count && !signal.aborted) {
      const before = tally.replayed
      const most = Math.min(this.#batchSize(), this.#total - tally.seen, count - before, stepEnd - before)
      if (!(await this.#replayBatch(most))) break
      unwatched += tally.replayed - before
      this.#options.onProgress?.(tally.seen, this.#total)
      const isOver = tally.seen >= this.#total || tally.replayed >= count
      if (canary !== undefined && unwatched > 0 && (isOver || tally.replayed >= stepEnd)) {
        cameBack = await countReturns(reader, this.#total - tally.seen, canary.settleMs, signal)
        if (cameBack > 0) break
        unwatched = 0
        stepEnd += steps.next().value ?? 1
      }
      if (reader.heldMs > LONGEST_HOLD_MS) await this.#holdAgain()
    }
    const { messages } = await reader.counts()
    await reader.putBack()
    return { total: this.#total, ...tally, cameBack, arrived: Math.max(0, messages - (this.#total - tally.seen)) }
  }

  /** With a rate, what is on its way is no more than a second's worth. */
  #batchSize(): number {
    const { batchSize = BATCH, rate = Number.POSITIVE_INFINITY } = this.#options
    return Math.min(batchSize, Math.max(1, Math.ceil(rate)))
  }

  /** @returns whether there were letters */
  async #replayBatch(most: number): Promise<boolean> {
    const { reader, onLetter } = this.#options
    const tally = this.#tally
    const letters = await reader.take(most)
    await this.#findOut(letters)
    const batch = letters.map((letter) => ({ letter, outcome: this.#replay(letter) }))
    const gone: IncomingMessage[] = []
    for (const { letter, outcome } of batch) {
      const done = await outcome
      if (done.kind === 'replayed') gone.push(letter)
      tally.seen += 1
      if (done.kind === 'replayed' || done.kind === 'would-replay') tally.replayed += 1
      else if (done.kind === 'left') tally.left += 1
      else tally.failed += 1
      await onLetter(letter, done)
    }
    await reader.acknowledge(gone, tally.replayed === tally.seen)
    return batch.length > 0
  }

  /** Puts back what was left, and takes it again: it is where it was, in front of what was not seen. */
  async #holdAgain(): Promise<void> {
    const { reader } = this.#options
    await reader.putBack()
    for (let left = this.#tally.left + this.#tally.failed; left > 0;) {
      const taken = await reader.take(Math.min(left, BATCH))
      if (taken.length === 0) return
      left -= taken.length
    }
  }

  /** Publishing on an exchange that is not there would cost the connection, and the run with it. */
  async #findOut(letters: readonly IncomingMessage[]): Promise<void> {
    const { reader } = this.#options
    for (const { properties } of letters) {
      const death = firstDeathOf(properties.headers ?? {})
      if (death === undefined) continue
      const { exchange, queue } = death
      if (!this.#exchanges.has(exchange)) this.#exchanges.set(exchange, await reader.hasExchange(exchange))
      if (!this.#queues.has(queue)) this.#queues.set(queue, await reader.hasQueue(queue))
    }
  }

  async #replay(letter: IncomingMessage): Promise<Outcome> {
    const { publisher, matches, dryRun, signal, isTaken } = this.#options
    try {
      if (!(await matches(letter))) return { kind: 'left' }
      const again = rebirthOf(letter)
      if (again === undefined) return { kind: 'no-death-headers' }
      const problem = letter.properties.unreadable ?? this.#missing(letter, again.exchange)
      if (problem !== undefined) return { kind: 'failed', problem }
      if (isTaken?.(again.exchange, again.routingKey) === false) return { kind: 'failed', problem: NOBODY }
      if (dryRun === true) return { kind: 'would-replay' }
      await this.#pace()
      if (signal.aborted) return { kind: 'failed', problem: 'the run was stopped before' }
      await publisher.publish(again)
      return { kind: 'replayed' }
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      return { kind: 'failed', problem: error instanceof UnroutableError ? NOBODY : text }
    }
  }

  /** Where it died is gone: whoever else takes it has had it, and the service that gave it up would not get it. */
  #missing({ properties }: IncomingMessage, exchange: string): string | undefined {
    if (this.#exchanges.get(exchange) !== true) return `its exchange '${exchange}' does not exist any more`
    const queue = firstDeathOf(properties.headers ?? {})?.queue ?? ''
    return this.#queues.get(queue) === true ? undefined : `the queue where it died, '${queue}', does not exist any more`
  }
}

const NOBODY = 'no queue takes it any more'

/** The message that a letter was, with the exact bytes and all properties; undefined when its headers do not say where it died. */
export function rebirthOf(letter: IncomingMessage): OutgoingMessage | undefined {
  const headers = letter.properties.headers ?? {}
  const death = firstDeathOf(headers)
  if (death === undefined) return undefined
  const { deliveryMode, timestamp, headers: _headers, rawHeaders, userId: _userId, ...properties } = letter.properties
  return {
    exchange: death.exchange,
    routingKey: originalKeyOf(headers) ?? letter.routingKey,
    mandatory: true,
    body: letter.body,
    properties: {
      ...properties,
      // a user id that is not the operator's own would be refused; the broker verified it when the message was first sent
      headers: Object.fromEntries(withoutDeaths(Object.entries(headers))) as Record<string, HeaderValue>,
      // to the type: a decimal stays one
      ...(rawHeaders === undefined ? undefined : { rawHeaders: new Map(withoutDeaths(rawHeaders)) }),
      persistent: deliveryMode === 2,
      ...(timestamp === undefined ? undefined : { timestamp: Math.floor(timestamp.getTime() / 1000) }),
    },
  }
}

/** The routing key before any dead-letter routing key took its place. */
function originalKeyOf(headers: Readonly<Record<string, unknown>>): string | undefined {
  const deaths: unknown = headers['x-death']
  const first: unknown = Array.isArray(deaths) ? deaths.at(-1) : undefined
  if (typeof first !== 'object' || first === null) return undefined
  const keys: unknown = (first as Record<string, unknown>)['routing-keys']
  const key: unknown = Array.isArray(keys) ? keys[0] : undefined
  return typeof key === 'string' ? key : undefined
}

/** 1, 2, 5, 10, 20, 50… */
function* canarySteps(): Generator<number> {
  for (let scale = 1; ; scale *= 10) yield* [scale, 2 * scale, 5 * scale]
}

/** Waits a while, and counts the letters that came in meanwhile. */
async function countReturns(
  reader: QueueReader,
  expected: number,
  settleMs: number,
  signal: AbortSignal,
): Promise<number> {
  const deadline = performance.now() + settleMs
  for (;;) {
    const { messages } = await reader.counts()
    if (messages > expected || performance.now() >= deadline || signal.aborted) return Math.max(0, messages - expected)
    await pause(Math.min(100, settleMs), signal)
  }
}

/** Waits until the next letter may go; those that ask together go one after the other. */
function makePace(rate = Number.POSITIVE_INFINITY, signal: AbortSignal): () => Promise<void> {
  const gapMs = 1000 / rate
  let next = performance.now()
  return async () => {
    const now = performance.now()
    const mine = Math.max(now, next)
    next = mine + gapMs
    if (mine > now) await pause(mine - now, signal)
  }
}
