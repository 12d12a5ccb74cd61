/** `eventail resurrect`: replays dead letters, and says what becomes of each. */
import { describeDeath, deathsOf } from '../../dead-letter/letter.ts'
import { type Outcome, rebirthOf, resurrect, type ResurrectSummary } from '../../dead-letter/resurrect.ts'
import { receiversOf, type Routes } from '../../management/snapshot.ts'
import { envelopeLine } from '../../observe/envelope.ts'
import { type FilterOptions, makeFilter } from '../../observe/filter.ts'
import { makeRedact, type Redact } from '../../observe/redact.ts'
import { QueueReader } from '../../transport/queue-reader.ts'
import type { IncomingMessage } from '../../wire/message.ts'
import { counted, visible } from '../../wire/text.ts'
import {
  type BrokerOptions,
  EXIT,
  required,
  takeBroker,
  type Terminal,
  onceEach,
  refuseOperands,
} from '../command-line.ts'
import { connectionSettings, managementOf, mayRead, routesIfKnown } from '../connect.ts'
import { Sender } from '../sender.ts'

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

export async function resurrectCommand(
  operands: readonly string[],
  options: ResurrectCliOptions,
  terminal: Terminal,
): Promise<number> {
  const { broker, tls, rest } = takeBroker(operands, options, terminal)
  const queue = required(rest, 0, 'queue')
  refuseOperands(rest.slice(1))
  const filter = makeFilter(options, onceEach(terminal))
  const redact = makeRedact(options.redact)
  const api = managementOf(broker, options.managementUrl, terminal)
  const unknown =
    options.dryRun === true
      ? 'who would receive the letters is not known'
      : 'a letter that only those who watch would receive is not told from others'
  const routes = await routesIfKnown(api, unknown, terminal)
  await using reader = await QueueReader.open(
    broker,
    queue,
    { ...connectionSettings('resurrect', tls), keepRawHeaders: true },
    terminal.signal,
  )
  if (!(await mayRead(reader, { api, force: options.force }, terminal))) return EXIT.failed
  await using sender = await Sender.open(broker, connectionSettings('resurrect', tls), terminal)
  const summary = await resurrect({
    reader,
    publisher: sender.publisher,
    matches: filter,
    // the reader's connection may go on when the sender's is lost: the run must not
    signal: AbortSignal.any([terminal.signal, sender.broken]),
    ...(options.batchSize === undefined ? undefined : { batchSize: options.batchSize }),
    dryRun: options.dryRun === true,
    ...(options.count === undefined || options.count === 0 ? undefined : { count: options.count }),
    ...(options.rate === undefined ? undefined : { rate: options.rate }),
    canary: options.canary === true ? { settleMs: SETTLE_MS } : undefined,
    onLetter: (letter, outcome) => tell(letter, outcome, routes, { ...options, redact }, terminal),
    onProgress: makeProgress(terminal),
    ...(routes === undefined
      ? undefined
      : { isTaken: (exchange: string, key: string) => receiversOf(routes, exchange, key).some(isLasting(routes)) }),
  })
  const code = conclude(summary, options, terminal)
  if (!sender.broken.aborted) return code
  terminal.say(`stopped: ${(sender.broken.reason as Error).message}; run it again for the rest`)
  return EXIT.unreachable
}

/** Queues of those who only watch vanish with them: what they alone receive is lost. */
function isLasting({ queues }: Routes): (name: string) => boolean {
  return (name) => queues.find((queue) => queue.name === name)?.exclusive !== true
}

function tell(
  letter: IncomingMessage,
  outcome: Outcome,
  routes: Routes | undefined,
  { dryRun, json, redact }: Omit<ResurrectCliOptions, 'redact'> & { readonly redact: Redact },
  terminal: Terminal,
): void | Promise<void> {
  const again = rebirthOf(letter)
  const receivers =
    again === undefined || routes === undefined || dryRun !== true
      ? undefined
      : receiversOf(routes, again.exchange, again.routingKey)
  if (json === true) {
    const problem = outcome.kind === 'failed' ? { problem: outcome.problem } : {}
    const to = again === undefined ? {} : { exchange: again.exchange, ...(receivers && { receivers }) }
    terminal.print(envelopeLine(redact(letter), { outcome: outcome.kind, ...problem, ...to }))
  }
  const key = visible(letter.routingKey)
  if (outcome.kind === 'no-death-headers')
    terminal.say(`${key}: stays: its headers do not say where it died, so it cannot be replayed`)
  if (outcome.kind === 'failed') terminal.say(`${key}: stays: ${visible(outcome.problem)}`)
  if (json === true) return terminal.drained()
  if (again === undefined || outcome.kind !== 'would-replay') return
  const [death] = deathsOf(letter.properties.headers ?? {})
  const why = death === undefined ? '' : `  (${describeDeath(death, new Date())})`
  terminal.print(`${visible(again.routingKey)}${why}`)
  const list =
    receivers === undefined
      ? 'queues that are not known (see --management-url)'
      : receivers.length === 0
        ? 'nobody: it would stay'
        : receivers
            .map((name) => visible(isLasting(routes ?? NO_ROUTES)(name) ? name : `${name} (watches only)`))
            .join(', ')
  terminal.print(`    to exchange ${visible(again.exchange)}, received by ${list}`)
}

const NO_ROUTES: Routes = { queues: [], bindings: [], exchanges: [] }

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
  if (cameBack > 0) terminal.say(`stopped: ${counted(cameBack, 'letter')} came in dead again; mend the service first`)
  else if (arrived > 0) terminal.say(`not touched: ${counted(arrived, 'letter')} that came in meanwhile`)
  if (terminal.isReaderGone) return EXIT.partial
  if (terminal.signal.aborted) return EXIT.interrupted
  if (failed === 0 && cameBack === 0) return EXIT.ok
  return replayed > 0 ? EXIT.partial : EXIT.failed
}
