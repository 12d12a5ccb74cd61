/** `eventail resurrect`: replays dead letters, and says what becomes of each. */
import { describeDeath, deathsOf } from '../../dead-letter/letter.ts'
import { type Outcome, rebirthOf, resurrect, type ResurrectSummary } from '../../dead-letter/resurrect.ts'
import { AmqpConnection } from '../../transport/amqp-connection.ts'
import { Publisher } from '../../transport/publisher.ts'
import { QueueReader } from '../../transport/queue-reader.ts'
import type { IncomingMessage } from '../../wire/message.ts'
import { visible } from '../../wire/text.ts'
import { Bindings } from '../bindings.ts'
import {
  type BrokerOptions,
  connectionSettings,
  EXIT,
  isLiveQueue,
  required,
  takeBroker,
  type Terminal,
  UsageError,
} from '../command-line.ts'
import { envelopeLine } from '../envelope.ts'
import { type FilterOptions, makeFilter } from '../filter.ts'

export interface ResurrectCliOptions extends BrokerOptions, FilterOptions {
  readonly count?: number
  readonly batchSize?: number
  readonly rate?: number
  readonly dryRun?: boolean
  readonly canary?: boolean
  readonly managementUrl?: string
  readonly force?: boolean
  readonly json?: boolean
}

/** How long a canary watches for letters that come back, after each step. */
const SETTLE_MS = 2_000
const PROGRESS_MS = 1_000
const PUBLISHER = {
  window: { messages: 1000, bytes: 16 * 1024 * 1024 },
  buffer: { messages: 10_000, bytes: 256 * 1024 * 1024 },
  // a letter that the broker refuses stays where it is
  retryDelayMs: undefined,
  confirmTimeoutMs: 30_000,
  blockedTimeoutMs: 3_600_000,
}

export async function resurrectCommand(
  operands: readonly string[],
  options: ResurrectCliOptions,
  terminal: Terminal,
): Promise<number> {
  const { broker, rest } = takeBroker(operands, options, terminal)
  const queue = required(rest, 0, 'queue')
  if (isLiveQueue(queue) && options.force !== true)
    throw new UsageError(
      `'${queue}' is a live queue of a service, not one of dead letters; --force does it all the same`,
    )
  const filter = makeFilter(options)
  const settings = connectionSettings('resurrect')
  const bindings = options.dryRun === true ? await Bindings.read(broker, options.managementUrl, terminal) : undefined
  await using reader = await QueueReader.open(broker, queue, settings, terminal.signal)
  const connection = await AmqpConnection.open(broker, settings, terminal.signal)
  const publisher = new Publisher(PUBLISHER, { onReturned: () => {}, onTrouble: (_level, text) => terminal.say(text) })
  await publisher.attach(connection)
  // the reader's connection may go on when this one is lost: what is not confirmed must not wait for ever
  const broken = new AbortController()
  let lost: Error | undefined
  void connection.lost.then((reason) => {
    lost = reason
    publisher.close()
    broken.abort()
  })
  try {
    const summary = await resurrect({
      reader,
      publisher,
      matches: filter,
      signal: AbortSignal.any([terminal.signal, broken.signal]),
      ...(options.batchSize === undefined ? undefined : { batchSize: options.batchSize }),
      dryRun: options.dryRun === true,
      ...(options.count === undefined || options.count === 0 ? undefined : { count: options.count }),
      ...(options.rate === undefined ? undefined : { rate: options.rate }),
      canary: options.canary === true ? { settleMs: SETTLE_MS } : undefined,
      onLetter: (letter, outcome) => tell(letter, outcome, bindings, options, terminal),
      onProgress: makeProgress(terminal),
    })
    const code = conclude(summary, options, terminal)
    if (lost === undefined) return code
    terminal.say(`stopped: ${lost.message}; run it again for the rest`)
    return EXIT.unreachable
  } finally {
    publisher.close()
    await connection.shutDown(2_000)
  }
}

function tell(
  letter: IncomingMessage,
  outcome: Outcome,
  bindings: Bindings | undefined,
  { dryRun, json }: ResurrectCliOptions,
  terminal: Terminal,
): void {
  const again = rebirthOf(letter)
  const receivers =
    again === undefined || dryRun !== true ? undefined : bindings?.receiversOf(again.exchange, again.routingKey)
  if (json === true) {
    const problem = outcome.kind === 'failed' ? { problem: outcome.problem } : {}
    const to = again === undefined ? {} : { exchange: again.exchange, ...(receivers && { receivers }) }
    terminal.print(envelopeLine(letter, { outcome: outcome.kind, ...problem, ...to }))
  }
  const key = visible(letter.routingKey)
  if (outcome.kind === 'no-death-headers')
    terminal.say(`${key}: stays: its headers do not say where it died, so it cannot be replayed`)
  if (outcome.kind === 'failed') terminal.say(`${key}: stays: ${visible(outcome.problem)}`)
  if (json === true || again === undefined || outcome.kind !== 'would-replay') return
  const [death] = deathsOf(letter.properties.headers ?? {})
  const why = death === undefined ? '' : `  (${describeDeath(death, new Date())})`
  terminal.print(`${visible(again.routingKey)}${why}`)
  const list =
    receivers === undefined
      ? 'queues that are not known (see --management-url)'
      : receivers.length === 0
        ? 'nobody: it would stay'
        : receivers.map(visible).join(', ')
  terminal.print(`    to exchange ${visible(again.exchange)}, received by ${list}`)
}

function makeProgress(terminal: Terminal): (seen: number, total: number) => void {
  const start = performance.now()
  let last = start
  return (seen, total) => {
    const now = performance.now()
    if (now - last < PROGRESS_MS || seen === 0) return
    last = now
    const left = Math.round((((now - start) / seen) * (total - seen)) / 1000)
    terminal.say(`${seen} of ${total} letters, ${left} s to go`)
  }
}

function conclude(summary: ResurrectSummary, { dryRun = false }: ResurrectCliOptions, terminal: Terminal): number {
  const { total, seen, replayed, left, failed, cameBack, arrived } = summary
  const done = dryRun ? 'would be replayed' : 'replayed'
  terminal.say(
    `${replayed} of ${total} letters ${done}, ${left} left by the filter, ${failed} could not be replayed, ${total - seen} not looked at`,
  )
  if (cameBack > 0) terminal.say(`stopped: ${cameBack} letters came in dead again; mend the service first`)
  else if (arrived > 0) terminal.say(`${arrived} letters came in meanwhile, and were not touched`)
  if (terminal.signal.aborted) return EXIT.interrupted
  if (failed === 0 && cameBack === 0) return EXIT.ok
  return replayed > 0 ? EXIT.partial : EXIT.failed
}
