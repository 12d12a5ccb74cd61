/**
 * Replaying dead letters: each is published where it died first, and leaves the dead-letter queue only once that is
 * confirmed. So a crash at any point leads to a repeat at worst; letters that are not replayed stay where they are.
 */
import { UnroutableError } from '../errors.ts'
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
  /** Told of every letter, in the order of the queue. */
  readonly onLetter: (letter: IncomingMessage, outcome: Outcome) => void
  /** Told after every batch: letters seen, and letters that there were at the beginning. */
  readonly onProgress?: (seen: number, total: number) => void
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

/** Replays the letters that are in the queue now; those that arrive meanwhile are not touched. */
export async function resurrect(options: ResurrectOptions): Promise<ResurrectSummary> {
  const { reader, signal, count = Number.POSITIVE_INFINITY, canary } = options
  const { messages: total } = await reader.counts()
  const tally: Tally = { seen: 0, replayed: 0, left: 0, failed: 0 }
  const exchanges = new Map<string, boolean>()
  let cameBack = 0
  const steps = canarySteps()
  let stepEnd = canary === undefined ? Number.POSITIVE_INFINITY : (steps.next().value ?? 1)
  const pace = makePace(options.rate)
  while (tally.seen < total && tally.replayed < count && !signal.aborted) {
    const most = Math.min(
      options.batchSize ?? BATCH,
      total - tally.seen,
      count - tally.replayed,
      stepEnd - tally.replayed,
    )
    const taken = await replayBatch(options, most, tally, exchanges)
    options.onProgress?.(tally.seen, total)
    if (taken === 0) break
    await pace(taken, signal)
    if (canary !== undefined && tally.replayed >= stepEnd) {
      cameBack = await countReturns(reader, total - tally.seen, canary.settleMs, signal)
      if (cameBack > 0) break
      stepEnd += steps.next().value ?? 1
    }
  }
  const { messages } = await reader.counts()
  await reader.putBack()
  return { total, ...tally, cameBack, arrived: Math.max(0, messages - (total - tally.seen)) }
}

/** @returns how many letters were taken */
async function replayBatch(
  options: ResurrectOptions,
  most: number,
  tally: Tally,
  exchanges: Map<string, boolean>,
): Promise<number> {
  const { reader, onLetter } = options
  const letters = await reader.take(most)
  await findExchanges(reader, letters, exchanges)
  const batch = letters.map((letter) => ({ letter, outcome: replay(options, letter, exchanges) }))
  const gone: IncomingMessage[] = []
  for (const { letter, outcome } of batch) {
    const done = await outcome
    if (done.kind === 'replayed') gone.push(letter)
    tally.seen += 1
    if (done.kind === 'replayed' || done.kind === 'would-replay') tally.replayed += 1
    else if (done.kind === 'left') tally.left += 1
    else tally.failed += 1
    onLetter(letter, done)
  }
  // where none was left so far, one acknowledgement is for all of them
  const last = gone.at(-1)
  if (last !== undefined && tally.replayed === tally.seen) await reader.acknowledge(last, true)
  else for (const letter of gone) await reader.acknowledge(letter)
  return batch.length
}

/** Publishing on an exchange that is not there would cost the connection, and the run with it. */
async function findExchanges(
  reader: QueueReader,
  letters: readonly IncomingMessage[],
  exchanges: Map<string, boolean>,
): Promise<void> {
  for (const { properties } of letters) {
    const exchange = firstDeathOf(properties.headers ?? {})?.exchange
    if (exchange !== undefined && !exchanges.has(exchange)) exchanges.set(exchange, await reader.hasExchange(exchange))
  }
}

async function replay(
  { publisher, matches, dryRun, signal }: ResurrectOptions,
  letter: IncomingMessage,
  exchanges: ReadonlyMap<string, boolean>,
): Promise<Outcome> {
  try {
    if (!(await matches(letter))) return { kind: 'left' }
    const again = rebirthOf(letter)
    if (again === undefined) return { kind: 'no-death-headers' }
    const { unreadable } = letter.properties
    if (unreadable !== undefined) return { kind: 'failed', problem: unreadable }
    if (exchanges.get(again.exchange) !== true)
      return { kind: 'failed', problem: `its exchange '${again.exchange}' does not exist any more` }
    if (dryRun === true) return { kind: 'would-replay' }
    if (signal.aborted) return { kind: 'failed', problem: 'the run was stopped before' }
    await publisher.publish(again)
    return { kind: 'replayed' }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return { kind: 'failed', problem: error instanceof UnroutableError ? 'no queue takes it any more' : text }
  }
}

/** The message that a letter was, with the exact bytes and all properties; undefined when its headers do not say where it died. */
export function rebirthOf(letter: IncomingMessage): OutgoingMessage | undefined {
  const headers = letter.properties.headers ?? {}
  const death = firstDeathOf(headers)
  if (death === undefined) return undefined
  const { deliveryMode, timestamp, headers: _headers, userId: _userId, ...properties } = letter.properties
  return {
    exchange: death.exchange,
    routingKey: originalKeyOf(headers) ?? letter.routingKey,
    mandatory: true,
    body: letter.body,
    properties: {
      ...properties,
      // a user id that is not the operator's own would be refused; the broker verified it when the message was first sent
      headers: withoutDeaths(headers) as Record<string, HeaderValue>,
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

function makePace(rate = Number.POSITIVE_INFINITY): (letters: number, signal: AbortSignal) => Promise<void> {
  const start = performance.now()
  let sent = 0
  return async (letters, signal) => {
    sent += letters
    const early = (sent / rate) * 1000 - (performance.now() - start)
    if (early > 0) await pause(early, signal)
  }
}
