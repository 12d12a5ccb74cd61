/**
 * One line of text for each message of the bus, for eyes that follow a conversation: its id is short and has a colour of
 * its own. Whatever a peer put into a message, the line stays one line and disturbs no terminal.
 */
import { styleText } from 'node:util'
import type { ConsumeMessage } from 'amqplib'
import { type LevelName, LEVELS, levelNumber } from '../src/log/levels.ts'
import { decodePayload } from '../src/wire/payload.ts'
import { visible } from '../src/wire/text.ts'

/** Where the demo's broker sends what is dead. */
export const DEAD_LETTER_EXCHANGE = 'am-dlx'

/** What a message is. */
export type Kind = 'event' | 'command' | 'result' | 'configuration' | 'log' | 'dead letter'

type Colour = Extract<Parameters<typeof styleText>[0], string>

export interface LineStyle {
  readonly colours: boolean
  /** Columns that a line may take. */
  readonly width: number
}

interface Parts {
  /** What it is, in one word of up to nine letters. */
  readonly word: string
  readonly colour: Colour
  readonly sender: string
  readonly conversationId: string
  readonly text: string
  /** Whether the text as well has the colour. */
  readonly loud: boolean
}

/** Beyond this a payload is not decoded for the sake of its first hundred characters. */
const MAX_DECODED_BYTES = 256 * 1024
/** Below this many columns the time is shown to the second. */
const WIDE = 100
const WORD_COLUMNS = 9
const SENDER_COLUMNS = 13
const KEY_COLUMNS = 27
const CONVERSATION_COLUMNS = 4
/** How much of a text that is loud is shown, however narrow the terminal. */
const LOUD_COLUMNS = 160
const CONVERSATION_COLOURS = [
  ...(['green', 'yellow', 'blue', 'magenta', 'cyan'] as const),
  ...(['greenBright', 'yellowBright', 'blueBright', 'magentaBright', 'cyanBright'] as const),
]
const KINDS = {
  event: { word: 'event', colour: 'green' },
  command: { word: 'command', colour: 'blue' },
  result: { word: 'result', colour: 'cyan' },
  configuration: { word: 'config', colour: 'magenta' },
} as const

/** What a message is, by the exchange that it came through. */
export function kindOf({ fields, properties }: ConsumeMessage): Kind {
  switch (fields.exchange) {
    case DEAD_LETTER_EXCHANGE:
      return 'dead letter'
    case 'events':
      return 'event'
    case 'configurations':
      return 'configuration'
    case 'logs':
      return 'log'
    default:
      return textOf(properties.replyTo) === '' ? 'result' : 'command'
  }
}

/** The line of a message; undefined for logs below WARNING. */
export function lineOf(message: ConsumeMessage, arrived: Date, style: LineStyle): string | undefined {
  const wide = style.width >= WIDE
  const parts = partsOf(message, wide ? KEY_COLUMNS : 0)
  if (parts === undefined) return undefined
  const { word, colour, sender, conversationId, text, loud } = parts
  const time = clockTime(arrived, wide)
  const room = style.width - time.length - CONVERSATION_COLUMNS - WORD_COLUMNS - SENDER_COLUMNS - 4
  const paint = (one: Colour, shown: string): string =>
    style.colours ? styleText(one, shown, { validateStream: false }) : shown
  // what went wrong is worth a second line of a narrow terminal
  const shown = cut(visible(text), loud ? LOUD_COLUMNS : Math.max(room, 20))
  return [
    paint('gray', time),
    paint(conversationColour(conversationId), visible(conversationId).slice(-CONVERSATION_COLUMNS).padEnd(4)),
    paint(colour, word.padEnd(WORD_COLUMNS)),
    paint('bold', cut(visible(sender), SENDER_COLUMNS).padEnd(SENDER_COLUMNS)),
    loud ? paint(colour, shown) : shown,
  ].join(' ')
}

function partsOf(message: ConsumeMessage, keyColumns: number): Parts | undefined {
  const kind = kindOf(message)
  if (kind === 'log') return logParts(message)
  const { fields, properties } = message
  const headers: Record<string, unknown> = properties.headers ?? {}
  const common = { sender: textOf(properties.appId), conversationId: textOf(headers['conversation_id']) }
  if (kind === 'dead letter') {
    const text = `dead: ${fields.routingKey}, ${causeOfDeath(headers)}  ${payloadOf(message)}`
    return { ...common, word: 'dead', colour: 'red', text, loud: true }
  }
  const outcome = kind === 'result' && headers['status'] !== 'success' ? `${textOf(headers['status'])} ` : ''
  const text = `${fields.routingKey.padEnd(keyColumns)}  ${outcome}${payloadOf(message)}`
  return { ...common, ...KINDS[kind], text, loud: outcome !== '' }
}

/** A record that is not GELF, or of a level that nobody knows, is shown: it is worth a look. */
function logParts({ fields, content }: ConsumeMessage): Parts | undefined {
  const lastDot = fields.routingKey.lastIndexOf('.')
  const level = fields.routingKey.slice(lastDot + 1)
  if (isLevel(level) && levelNumber(level) > levelNumber('WARNING')) return undefined
  const colour: Colour = isLevel(level) && levelNumber(level) === levelNumber('WARNING') ? 'yellow' : 'red'
  const common = { word: level.slice(0, WORD_COLUMNS), colour, sender: fields.routingKey.slice(0, lastDot), loud: true }
  try {
    const record = JSON.parse(content.toString('utf8')) as Record<string, unknown>
    const conversationId = textOf(record['_conversation_id'])
    return { ...common, conversationId, text: textOf(record['short_message']) } as const
  } catch {
    return { ...common, conversationId: '', text: `no log record: ${content.toString('latin1', 0, 200)}` } as const
  }
}

/** Why the broker took the message out of a queue, in words. */
function causeOfDeath(headers: Record<string, unknown>): string {
  const queue = textOf(headers['x-first-death-queue']) || 'a queue'
  const reason = textOf(headers['x-first-death-reason'])
  switch (reason) {
    case 'rejected':
      return `rejected by ${queue}`
    case 'expired':
      return `expired in ${queue}`
    case 'maxlen':
      return `pushed out of ${queue}, which is full`
    case 'delivery_limit':
      return `delivered too often by ${queue}`
    default:
      return `from ${queue} (${reason || 'no reason given'})`
  }
}

function payloadOf({ content, properties }: ConsumeMessage): string {
  const type = textOf(properties.contentType)
  if (content.length > MAX_DECODED_BYTES) return `<${content.length} bytes of ${type}>`
  try {
    return JSON.stringify(decodePayload(content, type === '' ? undefined : type), forJson)
  } catch {
    return `<${content.length} bytes that are no ${type || 'JSON'}>`
  }
}

function forJson(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return `<${value.length} bytes>`
  return typeof value === 'bigint' ? `${value}n` : value
}

function isLevel(text: string): text is LevelName {
  return LEVELS.some((level) => level === text)
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function cut(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, columns - 1).toWellFormed()}…`
}

function clockTime(time: Date, withMs: boolean): string {
  const two = (number: number): string => String(number).padStart(2, '0')
  const seconds = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
  return withMs ? `${seconds}.${String(time.getMilliseconds()).padStart(3, '0')}` : seconds
}

/** The same colour whenever the same conversation shows. */
function conversationColour(conversationId: string): Colour {
  let hash = 0
  for (const character of conversationId) hash = (hash * 31 + character.charCodeAt(0)) >>> 0
  return CONVERSATION_COLOURS[hash % CONVERSATION_COLOURS.length] ?? 'gray'
}
