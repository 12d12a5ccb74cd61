/** `eventail inspect-queue`: what is in a queue, without consuming it and without changing its order. */
import { inspect } from '../../dead-letter/inspect.ts'
import { deathsOf, describeDeath, firstDeathOf } from '../../dead-letter/letter.ts'
import { toJson } from '../../observe/body.ts'
import { envelopeLine } from '../../observe/envelope.ts'
import { type FilterOptions, isFiltering, makeFilter } from '../../observe/filter.ts'
import { makeRedact } from '../../observe/redact.ts'
import { QueueReader } from '../../transport/queue-reader.ts'
import type { IncomingMessage } from '../../wire/message.ts'
import { visible } from '../../wire/text.ts'
import { paint } from '../../observe/paint.ts'
import {
  type BrokerOptions,
  EXIT,
  required,
  takeBroker,
  type Terminal,
  onceEach,
  refuseOperands,
} from '../command-line.ts'
import { connectionSettings, managementOf, mayRead } from '../connect.ts'
import { Saver } from '../save.ts'
import { bodyText } from '../show.ts'

export interface InspectCliOptions extends BrokerOptions, FilterOptions {
  readonly count?: number
  readonly save?: string | true
  readonly json?: boolean
  readonly force?: boolean
  readonly managementUrl?: string
}

export async function inspectQueue(
  operands: readonly string[],
  options: InspectCliOptions,
  terminal: Terminal,
): Promise<number> {
  const { broker, tls, rest } = takeBroker(operands, options, terminal)
  const queue = required(rest, 0, 'queue')
  refuseOperands(rest.slice(1))
  const matches = isFiltering(options) ? makeFilter(options, onceEach(terminal)) : undefined
  await using reader = await QueueReader.open(broker, queue, connectionSettings('inspect-queue', tls), terminal.signal)
  const { messages } = await reader.counts()
  const api = managementOf(broker, options.managementUrl, terminal)
  if (!(await mayRead(reader, { api, force: options.force }, terminal))) return EXIT.failed
  const saver =
    options.save === undefined
      ? undefined
      : new Saver(options.save === true ? '.' : options.save, options.json === true ? true : 'as-is')
  const redact = makeRedact(options.redact)
  let shown = 0
  const count = options.count === 0 ? undefined : options.count
  for await (const original of inspect({ reader, matches, count, signal: terminal.signal })) {
    shown += 1
    const message = redact(original)
    const saved = saver?.save(message)
    terminal.print(
      options.json === true && saver === undefined ? envelopeLine(message) : textOf(message, shown, terminal.colours),
    )
    if (saved !== undefined) terminal.print(`    saved as ${saved}`)
    await terminal.drained()
  }
  terminal.say(
    `${shown} of ${messages} messages of '${visible(queue)}' shown; they are where they were, and the broker marks those that were read as redelivered`,
  )
  return EXIT.ok
}

function textOf(message: IncomingMessage, number: number, colours: boolean): string {
  const { headers = {}, rawHeaders: _raw, timestamp, ...properties } = message.properties
  const facts = Object.entries({
    exchange: message.exchange,
    ...properties,
    sent: timestamp?.toISOString(),
    redelivered: message.redelivered || undefined,
  })
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([name, value]) => `    ${name}: ${visible(String(value))}`)
  const own = Object.entries(headers)
    .filter(([name]) => name !== 'x-death' && !name.startsWith('x-first-death-'))
    .map(([name, value]) => `    ${visible(name)}: ${visible(typeof value === 'string' ? value : toJson(value))}`)
  const first = firstDeathOf(headers)
  const deaths = deathsOf(headers).map(
    (death) => `    ${paint(colours, 'red', 'dead:')} ${describeDeath(death, new Date())}`,
  )
  return [
    `${number}. ${paint(colours, 'bold', visible(message.routingKey))}  (${message.body.byteLength} bytes)`,
    ...facts,
    ...own,
    ...(first === undefined ? [] : [`    first published on: ${visible(first.exchange)}`]),
    ...deaths,
    bodyText(message),
  ].join('\n')
}
