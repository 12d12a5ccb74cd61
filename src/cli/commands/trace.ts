/** `eventail trace`: one conversation across all services, live, as an indented timeline. */
import { receiversOf } from '../../management/snapshot.ts'
import { toJson } from '../../observe/body.ts'
import { logLineOf } from '../../observe/envelope.ts'
import { makeRedact } from '../../observe/redact.ts'
import { sequenceDiagram } from '../../observe/sequence-diagram.ts'
import { type Step, Trace } from '../../observe/trace.ts'
import { EXCHANGES } from '../../topology/names.ts'
import { tap } from '../../transport/tap.ts'
import { visible } from '../../wire/text.ts'
import { paint } from '../../observe/paint.ts'
import {
  type BrokerOptions,
  EXIT,
  required,
  SkippingPrinter,
  takeBroker,
  type Terminal,
  refuseOperands,
} from '../command-line.ts'
import { checkBroker, managementOf, routesIfKnown } from '../connect.ts'
import { colourOf, oneLine } from '../show.ts'

export interface TraceOptions extends BrokerOptions {
  readonly mermaid?: boolean
  readonly redact?: readonly string[]
  readonly json?: boolean
  /** Seconds. */
  readonly idle?: number
  readonly managementUrl?: string
}

/** Steps that are kept for the diagram, at most. */
const KEPT = 1000

export async function trace(operands: readonly string[], options: TraceOptions, terminal: Terminal): Promise<number> {
  const { broker, tls, rest } = takeBroker(operands, options, terminal)
  const conversation = required(rest, 0, 'conversation')
  refuseOperands(rest.slice(1))
  await checkBroker(broker, tls, terminal)
  const api = managementOf(broker, options.managementUrl, terminal)
  const routes = await routesIfKnown(api, 'who takes the events is not known', terminal)
  const found = new Trace(conversation, (exchange, key) => routes && receiversOf(routes, exchange, key))
  const redact = makeRedact(options.redact)
  const printer = new SkippingPrinter(terminal)
  const steps: Step[] = []
  let seen = 0
  const quiet = new Quiet(options.idle)
  await tap({
    brokers: [broker],
    tls,
    name: 'eventail trace',
    patterns: Object.fromEntries(Object.values(EXCHANGES).map((exchange) => [exchange, ['#']])),
    signal: AbortSignal.any([terminal.signal, quiet.signal]),
    onConnected: ({ shown }) => terminal.say(`following conversation ${visible(conversation)} on ${shown}`),
    onLost: (reason) => terminal.say(`${reason.message}; trying again`),
    onMessage: (message) => {
      const step = found.add(redact(message), performance.now())
      if (step === undefined) return
      quiet.disturb()
      seen += 1
      if (options.mermaid === true && steps.length < KEPT) steps.push(step)
      printer.print(() => (options.json === true ? lineOf(step) : textOf(step, terminal.colours)))
    },
  })
  quiet.end()
  printer.tell()
  if (options.mermaid === true) {
    terminal.print(sequenceDiagram(steps))
    if (seen > KEPT) terminal.say(`(the diagram has the first ${KEPT} of ${seen} messages)`)
  }
  if (seen > 0 || terminal.signal.aborted) return EXIT.ok
  terminal.say(`nothing of conversation ${visible(conversation)} was seen within ${options.idle} s`)
  return EXIT.timeout
}

/** Tells when nothing has happened for so long. */
class Quiet {
  readonly #controller = new AbortController()
  readonly #timer: NodeJS.Timeout | undefined

  /** @param seconds undefined: for ever */
  constructor(seconds: number | undefined) {
    this.#timer = seconds === undefined ? undefined : setTimeout(() => this.#controller.abort(), seconds * 1000)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  disturb(): void {
    this.#timer?.refresh()
  }

  end(): void {
    clearTimeout(this.#timer)
  }
}

function lineOf({ envelope, sinceMs, gapMs, depth, from, to }: Step): string {
  return toJson({
    ...envelope,
    since_ms: Math.round(sinceMs),
    gap_ms: Math.round(gapMs),
    depth,
    from: from ?? null,
    to,
  })
}

function textOf({ envelope, sinceMs, gapMs, depth, from, to }: Step, colours: boolean): string {
  const { kind, name, status, payload } = envelope
  const when = `${String(Math.round(sinceMs)).padStart(7)} ms ${`+${Math.round(gapMs)}`.padStart(6)}`
  const what = visible(kind === 'result' ? (status ?? kind) : kind)
  const way = kind === 'log' ? '' : `  ${visible(from ?? '?')} → ${to.length === 0 ? '?' : to.map(visible).join(', ')}`
  const text = kind === 'log' ? visible(logLineOf(envelope)) : oneLine(payload)
  return `${when}  ${'  '.repeat(depth)}${paint(colours, colourOf(what), what)} ${paint(colours, 'bold', visible(name))}${way}  ${paint(colours, 'gray', text)}`
}
