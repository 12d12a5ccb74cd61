/** `eventail monitor`: events, commands with their results, and configurations, as they go. */
import { checkPattern, EXCHANGES, type ExchangeName } from '../../topology/names.ts'
import { tap } from '../../transport/tap.ts'
import type { IncomingMessage } from '../../wire/message.ts'
import { visible } from '../../wire/text.ts'
import { type BrokerOptions, EXIT, takeBroker, type Terminal, refuseOperands, onceEach } from '../command-line.ts'
import { checkBroker } from '../connect.ts'
import { envelopeLine, kindOf } from '../../observe/envelope.ts'
import { makeFilter } from '../../observe/filter.ts'
import { makeRedact } from '../../observe/redact.ts'
import { paint } from '../../observe/paint.ts'
import { Saver } from '../save.ts'
import { bodyText, clock, colourOf } from '../show.ts'

export interface MonitorOptions extends BrokerOptions {
  readonly events?: readonly string[] | true
  readonly commands?: readonly string[] | true
  readonly filter?: readonly string[]
  readonly configurations?: readonly string[] | true
  readonly filterFields?: readonly string[]
  readonly where?: string
  readonly save?: string | true
  readonly redact?: readonly string[]
  readonly json?: boolean
}

/** Messages that may wait for a slow terminal; what comes beyond is skipped and counted. */
const WAITING = 1000

export async function monitor(
  operands: readonly string[],
  options: MonitorOptions,
  terminal: Terminal,
): Promise<number> {
  const { broker, tls, rest } = takeBroker(operands, options, terminal)
  refuseOperands(rest)
  const patterns = patternsOf(options)
  const filter = makeFilter(options, onceEach(terminal))
  const redact = makeRedact(options.redact)
  const saver =
    options.save === undefined
      ? undefined
      : new Saver(options.save === true ? '.' : options.save, options.json === true)
  let waiting = 0
  let skipped = 0
  let last: Promise<void> = Promise.resolve()
  const show = async (original: IncomingMessage): Promise<void> => {
    // what waits is not worked off once it is over
    if (terminal.signal.aborted || !(await filter(original))) return
    const message = redact(original)
    if (skipped > 0) {
      terminal.say(`(${skipped} messages were skipped: they came faster than they could be shown)`)
      skipped = 0
    }
    const saved = saver?.save(message)
    if (options.json === true && saver === undefined) terminal.print(envelopeLine(message))
    else terminal.print(textOf(message, terminal.colours) + (saved === undefined ? '' : `\n    saved as ${saved}`))
    await terminal.drained()
  }
  await checkBroker(broker, tls, terminal)
  await tap({
    brokers: [broker],
    tls,
    name: 'eventail monitor',
    patterns,
    signal: terminal.signal,
    onConnected: ({ shown }) => terminal.say(`messages on ${shown}: ${describe(patterns)}`),
    onLost: (reason) => terminal.say(`${reason.message}; trying again`),
    onMessage: (message) => {
      if (waiting >= WAITING) {
        skipped += 1
        return
      }
      waiting += 1
      last = last
        .then(() => show(message))
        .catch((error: unknown) =>
          terminal.say(
            `${visible(message.routingKey)}: ${visible(error instanceof Error ? error.message : String(error))}`,
          ),
        )
        .finally(() => {
          waiting -= 1
        })
    },
  })
  await last
  if (skipped > 0) terminal.say(`(${skipped} messages were skipped: they came faster than they could be shown)`)
  return EXIT.ok
}

type Patterns = Record<string, readonly string[]>

/** With no option everything is watched; with some, only what they name. An option without patterns means all. */
function patternsOf({ events, commands, configurations }: MonitorOptions): Patterns {
  const given = { [EXCHANGES.event]: events, [EXCHANGES.command]: commands, [EXCHANGES.configuration]: configurations }
  const all = Object.values(given).every((option) => option === undefined)
  const patterns: Patterns = {}
  for (const [exchange, option] of Object.entries(given) as [ExchangeName, readonly string[] | true | undefined][]) {
    if (option === undefined && !all) continue
    const list = option === undefined || option === true || option.length === 0 ? ['#'] : option
    for (const pattern of list) checkPattern(`--${exchange}`, pattern)
    patterns[exchange] = list
  }
  return patterns
}

function describe(patterns: Patterns): string {
  return Object.entries(patterns)
    .map(([exchange, list]) => `${exchange} ${list.join(' ')}`)
    .join(', ')
}

/** Results are shown by how they went. */
function labelOf(message: IncomingMessage): string {
  const kind = kindOf(message)
  if (kind !== 'result') return kind
  return message.properties.headers?.['status'] === 'error' ? 'error' : 'success'
}

function textOf(message: IncomingMessage, colours: boolean): string {
  const { headers = {}, replyTo, correlationId, appId, timestamp } = message.properties
  const kind = labelOf(message)
  const facts = [
    ['conversation', headers['conversation_id']],
    ['correlation', correlationId],
    ['reply to', replyTo],
    ['from', appId],
    ['sent', timestamp?.toISOString()],
  ]
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([name, value]) => `${String(name)} ${visible(String(value))}`)
  return [
    `${clock(new Date())} ${paint(colours, colourOf(kind), kind.padEnd(13))} ${paint(colours, 'bold', visible(message.routingKey))}  ${facts.join('  ')}`,
    bodyText(message),
  ].join('\n')
}
