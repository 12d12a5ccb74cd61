/**
 * Dead letters: what a message that is rejected, has expired, or was pushed out of a full queue says of its death when it goes on to
 * the dead-letter exchange. Source: RabbitMQ's guide to dead lettering.
 */
import {
  arrayField,
  type Field,
  type FieldTable,
  integerField,
  integerIn,
  readArray,
  readTable,
  stringField,
  tableField,
  textIn,
} from './field-table.ts'
import { keysIn, type Message, readKnown, withHeaders } from './message.ts'

export type DeathReason = 'rejected' | 'expired' | 'maxlen'

export interface Death {
  readonly queue: string
  readonly reason: DeathReason
  readonly atMs: number
  readonly exchange: string
  /** Undefined: the keys that it had. */
  readonly routingKey: string | undefined
}

/** The message as it goes to the dead-letter exchange. */
export function deadLetterOf(message: Message, death: Death): Message {
  const { headers, expiration } = readKnown(message.properties)
  const next = new Map(headers)
  const keys = [message.routingKey, ...keysIn(headers, 'CC')]
  const died: [string, Field][] = [
    ['exchange', stringField(message.exchange)],
    ['queue', stringField(death.queue)],
    ['reason', stringField(death.reason)],
    ['routing-keys', arrayField(keys.map((key) => stringField(key)))],
    ['time', integerField(Math.floor(death.atMs / 1_000), 'T')],
  ]
  if (expiration !== undefined) died.push(['original-expiration', stringField(expiration)])
  next.set('x-death', deathsWith(headers.get('x-death'), new Map(died)))
  if (headers.get('x-death') === undefined) {
    next.set('x-first-death-exchange', stringField(message.exchange))
    next.set('x-first-death-queue', stringField(death.queue))
    next.set('x-first-death-reason', stringField(death.reason))
  }
  // the copies that were asked for were made when it was published first
  if (death.routingKey !== undefined) next.delete('CC')
  return {
    exchange: death.exchange,
    routingKey: death.routingKey ?? message.routingKey,
    properties: withHeaders(message.properties, sorted(next)),
    body: message.body,
    expirationMs: undefined,
  }
}

/** The same queue and reason again: it is counted, and comes first; else it is a new entry, before the others. */
function deathsWith(header: Field | undefined, died: FieldTable): Field {
  const entries = deathsIn(header)
  const again = entries.find((entry) => sameText(entry, died, 'queue') && sameText(entry, died, 'reason'))
  const count = again === undefined ? 1 : (integerIn(again.get('count')) ?? 0) + 1
  const first = new Map(again ?? died).set('count', integerField(count))
  return arrayField([first, ...entries.filter((entry) => entry !== again)].map((entry) => tableField(sorted(entry))))
}

function sameText(one: FieldTable, other: FieldTable, key: string): boolean {
  return textIn(one.get(key)) === textIn(other.get(key))
}

function deathsIn(header: Field | undefined): readonly FieldTable[] {
  if (header?.type !== 'A') return []
  return readArray(header.bytes).flatMap(({ type, bytes }) => (type === 'F' ? [readTable(bytes)] : []))
}

function sorted(table: FieldTable): FieldTable {
  return new Map([...table].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** Whether it was in this queue before and no consumer rejected it since: it would go round for ever, and is dropped instead. */
export function goesInCircles(message: Message, queue: string): boolean {
  const deaths = deathsIn(readKnown(message.properties).headers.get('x-death'))
  const before = deaths.findIndex((death) => textIn(death.get('queue')) === queue)
  return before !== -1 && deaths.slice(0, before + 1).every((death) => textIn(death.get('reason')) !== 'rejected')
}
