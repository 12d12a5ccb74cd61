/** `eventail dead`: the dead-letter queues, what is in them and why; or, with `--watch`, letters as they die. */
import { deathsOf, describeDeath, firstDeathOf } from '../../dead-letter/letter.ts'
import { EXCHANGES } from '../../topology/names.ts'
import { QueueReader } from '../../transport/queue-reader.ts'
import { tap } from '../../transport/tap.ts'
import type { IncomingMessage } from '../../wire/message.ts'
import { visible } from '../../wire/text.ts'
import { askManagement } from '../bindings.ts'
import {
  type BrokerOptions,
  checkBroker,
  connectionSettings,
  EXIT,
  SkippingPrinter,
  takeBroker,
  type Terminal,
} from '../command-line.ts'
import { envelopeLine } from '../envelope.ts'
import { clock, paint, toJson } from '../show.ts'

export interface DeadOptions extends BrokerOptions {
  readonly watch?: boolean
  readonly exchange?: string
  readonly json?: boolean
  readonly managementUrl?: string
}

/** Reasons that were seen on the log bus and whose letter has not come yet, at most. */
const REMEMBERED = 10_000

export async function dead(operands: readonly string[], options: DeadOptions, terminal: Terminal): Promise<number> {
  const { broker, rest } = takeBroker(operands, options, terminal)
  if (options.watch === true) return watch(broker, options, terminal)
  const queues = rest.length > 0 ? rest : await deadLetterQueues(broker, options.managementUrl)
  if (queues.length === 0) {
    terminal.say('no dead-letter queue was found: name one, or set a dead-letter policy')
    return EXIT.notFound
  }
  for (const queue of queues) {
    await using reader = await QueueReader.open(broker, queue, connectionSettings('dead'), terminal.signal)
    const { messages } = await reader.counts()
    const groups = new Map<string, Group>()
    for await (const letter of reader.messages(messages)) {
      if (terminal.signal.aborted) break
      const group = groupOf(letter, queue)
      const id = JSON.stringify(group)
      groups.set(id, { ...group, count: (groups.get(id)?.count ?? 0) + 1 })
    }
    const sorted = [...groups.values()].toSorted((a, b) => b.count - a.count)
    if (options.json === true) for (const group of sorted) terminal.print(toJson(group))
    else {
      terminal.print(paint(terminal.colours, 'bold', `${visible(queue)}: ${messages} letters`))
      for (const group of sorted) terminal.print(`${String(group.count).padStart(8)}  ${groupText(group)}`)
    }
  }
  return EXIT.ok
}

/** Letters of one name that died in one queue for one reason. */
interface Group {
  readonly queue: string
  readonly name: string
  /** Null when the headers do not say it. */
  readonly service: string | null
  readonly died_in: string | null
  readonly reason: string | null
  readonly count: number
}

function groupOf(letter: IncomingMessage, queue: string): Group {
  const death = firstDeathOf(letter.properties.headers ?? {})
  return {
    queue,
    name: letter.routingKey,
    service: death?.queue.replace(/\.(?:events|commands)$/, '') ?? null,
    died_in: death?.queue ?? null,
    reason: death?.reason ?? null,
    count: 0,
  }
}

function groupText({ name, died_in: diedIn, reason }: Group): string {
  return diedIn === null
    ? `${visible(name)}  (its headers do not say where it died)`
    : `${visible(name)}  ${visible(reason ?? 'dead')} by ${visible(diedIn)}`
}

/** The queues that are bound to an exchange that a policy or a queue names as its dead-letter exchange. */
async function deadLetterQueues(
  broker: Parameters<typeof askManagement>[0],
  managementUrl: string | undefined,
): Promise<readonly string[]> {
  const vhost = encodeURIComponent(broker.vhost)
  const [policies, queues, bindings] = (await Promise.all(
    ['policies', 'queues', 'bindings'].map((what) => askManagement(broker, managementUrl, `${what}/${vhost}`)),
  )) as [
    { definition: Record<string, unknown> }[],
    { arguments: Record<string, unknown> }[],
    { source: string; destination: string; destination_type: string }[],
  ]
  const exchanges = new Set<unknown>([
    ...policies.map(({ definition }) => definition['dead-letter-exchange']),
    ...queues.map((queue) => queue.arguments['x-dead-letter-exchange']),
  ])
  const bound = bindings.filter(
    ({ source, destination_type }) => destination_type === 'queue' && source !== '' && exchanges.has(source),
  )
  return [...new Set(bound.map(({ destination }) => destination))].toSorted()
}

async function watch(
  broker: Parameters<typeof askManagement>[0],
  { exchange = 'am-dlx', json }: DeadOptions,
  terminal: Terminal,
): Promise<number> {
  const reasons = new Map<string, string>()
  const printer = new SkippingPrinter(terminal)
  await checkBroker(broker, terminal)
  await tap({
    brokers: [broker],
    name: 'eventail dead',
    patterns: { [EXCHANGES.log]: ['#.ALERT', '#.EMERGENCY', '#.ERROR'], [exchange]: ['#'] },
    signal: terminal.signal,
    onConnected: ({ shown }) => terminal.say(`watching dead letters of ${shown} on exchange ${exchange}`),
    onLost: (reason) => terminal.say(`${reason.message}; trying again`),
    onMessage: (from, message) => {
      if (from === EXCHANGES.log) remember(reasons, message)
      else
        printer.print(() =>
          json === true ? letterLine(message, reasons) : letterText(message, reasons, terminal.colours),
        )
    },
  })
  printer.tell()
  return EXIT.ok
}

function remember(reasons: Map<string, string>, message: IncomingMessage): void {
  try {
    const record = JSON.parse(new TextDecoder().decode(message.body)) as Record<string, unknown>
    const conversation = record['_conversation_id']
    const short = record['short_message']
    if (typeof conversation !== 'string' || conversation === '' || typeof short !== 'string') return
    // "Giving up on …" says less than the error that came before it
    if (short.startsWith('Giving up on') && reasons.has(conversation)) return
    reasons.delete(conversation)
    reasons.set(conversation, short)
    const [oldest] = reasons.keys()
    if (reasons.size > REMEMBERED && oldest !== undefined) reasons.delete(oldest)
  } catch {
    // not a record that says anything
  }
}

function letterLine(letter: IncomingMessage, reasons: ReadonlyMap<string, string>): string {
  const conversation = letter.properties.headers?.['conversation_id']
  const [death] = deathsOf(letter.properties.headers ?? {})
  const why = typeof conversation === 'string' ? reasons.get(conversation) : undefined
  return envelopeLine(letter, { died_in: death?.queue ?? null, reason: death?.reason ?? null, error: why ?? null })
}

function letterText(letter: IncomingMessage, reasons: ReadonlyMap<string, string>, colours: boolean): string {
  const headers = letter.properties.headers ?? {}
  const [death] = deathsOf(headers)
  const conversation = typeof headers['conversation_id'] === 'string' ? headers['conversation_id'] : ''
  const reason = reasons.get(conversation)
  const how = death === undefined ? '' : `  ${describeDeath(death, new Date())}`
  return [
    `${clock(new Date())} ${paint(colours, 'red', visible(letter.routingKey))}${how}  conversation ${visible(conversation)}`,
    ...(reason === undefined ? [] : [`    ${visible(reason)}`]),
  ].join('\n')
}
