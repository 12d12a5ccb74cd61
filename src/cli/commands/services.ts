/** `eventail services`: who is on the bus, as a table, as JSON, or as a picture. */
import { type ServiceFacts, servicesOf } from '../../management/services.ts'
import { takeSnapshot } from '../../management/snapshot.ts'
import { toJson } from '../../observe/body.ts'
import { visible } from '../../wire/text.ts'
import { paint } from '../../observe/paint.ts'
import { type BrokerOptions, EXIT, refuseOperands, takeBroker, type Terminal } from '../command-line.ts'
import { managementOf } from '../connect.ts'

export interface ServicesOptions extends BrokerOptions {
  readonly format?: 'table' | 'json' | 'mermaid' | 'dot'
  readonly json?: boolean
  readonly managementUrl?: string
}

export async function services(
  operands: readonly string[],
  options: ServicesOptions,
  terminal: Terminal,
): Promise<number> {
  const { broker, rest } = takeBroker(operands, options, terminal)
  refuseOperands(rest)
  const list = servicesOf(await takeSnapshot(managementOf(broker, options.managementUrl, terminal)))
  const format = options.json === true ? 'json' : (options.format ?? 'table')
  if (format === 'json') for (const service of list) terminal.print(toJson(service))
  else if (format === 'mermaid') terminal.print(mermaidOf(list))
  else if (format === 'dot') terminal.print(dotOf(list))
  else if (list.length > 0) for (const line of tableOf(list, terminal.colours)) terminal.print(line)
  if (list.length === 0) terminal.say(`no service is, or was ever, on ${broker.shown}`)
  return EXIT.ok
}

const COLUMNS = ['SERVICE', 'WORKERS', 'WAITING', 'IN HAND', 'SUBSCRIPTIONS'] as const

function tableOf(list: readonly ServiceFacts[], colours: boolean): readonly string[] {
  const rows = list.flatMap((service) => rowsOf(service))
  const widths = COLUMNS.map((column, index) =>
    Math.max(column.length, ...rows.map((row) => (row[index] ?? '').length)),
  )
  const lineOf = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd()
  return [paint(colours, 'bold', lineOf(COLUMNS)), ...rows.map(lineOf)]
}

/** A row for each kind of subscription; the first has the numbers. */
function rowsOf({ name, workers, ready, unacknowledged, events, commands, configurations }: ServiceFacts): string[][] {
  const subscriptions = Object.entries({ events, commands, configurations })
    .filter(([, keys]) => keys.length > 0)
    .map(([kind, keys]) => `${kind}: ${keys.map(visible).join(', ')}`)
  const [first = 'none', ...others] = subscriptions
  return [
    [visible(name), String(workers), String(ready), String(unacknowledged), first],
    ...others.map((text) => ['', '', '', '', text]),
  ]
}

interface Arrow {
  readonly kind: 'events' | 'commands' | 'configurations'
  readonly key: string
  readonly service: string
}

function arrowsOf(list: readonly ServiceFacts[]): readonly Arrow[] {
  return list.flatMap((service) =>
    (['events', 'commands', 'configurations'] as const).flatMap((kind) =>
      service[kind].map((key) => ({ kind, key, service: service.name })),
    ),
  )
}

/** Ids for names: those come from the wire, and are only ever labels. */
class Ids {
  readonly #ids = new Map<string, string>()

  of(name: string): string {
    const id = this.#ids.get(name) ?? `n${this.#ids.size}`
    this.#ids.set(name, id)
    return id
  }
}

const MERMAID_SHAPES = { events: ['([', '])'], commands: ['{{', '}}'], configurations: ['[/', '/]'] } as const

function mermaidOf(list: readonly ServiceFacts[]): string {
  const ids = new Ids()
  const label = (text: string): string =>
    `"${visible(text).replaceAll(/[^\p{L}\p{N} .,_@-]/gu, (character) => `#${character.codePointAt(0)};`)}"`
  const nodes = list.map(({ name, workers }) => `  ${ids.of(`service ${name}`)}[${label(`${name} × ${workers}`)}]`)
  const messages = new Set<string>()
  const arrows = arrowsOf(list).map(({ kind, key, service }) => {
    const id = ids.of(`${kind} ${key}`)
    const [open, close] = MERMAID_SHAPES[kind]
    messages.add(`  ${id}${open}${label(key)}${close}`)
    return `  ${id} --> ${ids.of(`service ${service}`)}`
  })
  return ['flowchart LR', ...nodes, ...messages, ...arrows].join('\n')
}

const DOT_SHAPES = { events: 'ellipse', commands: 'hexagon', configurations: 'parallelogram' } as const

function dotOf(list: readonly ServiceFacts[]): string {
  const ids = new Ids()
  const label = (text: string): string => `"${visible(text).replaceAll(/[\\"]/g, String.raw`\$&`)}"`
  const nodes = list.map(
    ({ name, workers }) => `  ${ids.of(`service ${name}`)} [shape=box, label=${label(`${name} × ${workers}`)}]`,
  )
  const messages = new Set<string>()
  const arrows = arrowsOf(list).map(({ kind, key, service }) => {
    const id = ids.of(`${kind} ${key}`)
    messages.add(`  ${id} [shape=${DOT_SHAPES[kind]}, label=${label(key)}]`)
    return `  ${id} -> ${ids.of(`service ${service}`)}`
  })
  return ['digraph bus {', '  rankdir=LR', ...nodes, ...messages, ...arrows, '}'].join('\n')
}
