/**
 * One line of text for each message of the bus, for eyes that follow a conversation: its id is short and has a colour of
 * its own. Whatever a peer put into a message, it disturbs no terminal and forges no line.
 */
import { deathsOf, describeDeath } from '../dead-letter/letter.ts'
import { type LevelName, LEVELS, levelNumber } from '../log/levels.ts'
import { paint, type Style } from '../observe/paint.ts'
import { DEAD_LETTER_EXCHANGE } from '../topology/dead-letters.ts'
import { EXCHANGES } from '../topology/names.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { decodePayload } from '../wire/payload.ts'
import { visible, visibleLines } from '../wire/text.ts'

/** What a message is. */
export type Kind = 'event' | 'command' | 'result' | 'configuration' | 'log' | 'dead letter'

export interface LineStyle {
  readonly colours: boolean
  /** Columns that a line may take. */
  readonly width: number
  /** Logs of this level and the more severe ones are shown. */
  readonly level: LevelName
  /** Whether what a log record says beside its line, such as a stack, is shown below it. */
  readonly details: boolean
}

interface Parts {
  /** What it is, in one word of up to nine letters. */
  readonly word: string
  readonly colour: Style
  readonly sender: string
  readonly conversationId: string
  readonly text: string
  /** Whether the text as well has the colour. */
  readonly loud: boolean
  /** What a log record says below its line. */
  readonly details?: string
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
/** How much of the line of a log record is shown where its details are. */
const LOG_COLUMNS = 1_000
const MOST_DETAIL_LINES = 24
/** A line of a stack that is about the toolkit or Node, and not about the service. */
const IS_INNER_FRAME = /^\s+at .*(?:\bnode_modules\/eventail\/|\(?node:)/
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
export function kindOf({ exchange, properties: { replyTo = '' } }: IncomingMessage): Kind {
  switch (exchange) {
    case DEAD_LETTER_EXCHANGE:
      return 'dead letter'
    case EXCHANGES.event:
      return 'event'
    case EXCHANGES.configuration:
      return 'configuration'
    case EXCHANGES.log:
      return 'log'
    default:
      return replyTo === '' ? 'result' : 'command'
  }
}

/** The lines of a message; undefined for logs that are not to be shown. */
export function lineOf(message: IncomingMessage, arrived: Date, style: LineStyle): string | undefined {
  const wide = style.width >= WIDE
  const parts = partsOf(message, wide ? KEY_COLUMNS : 0, style.level)
  if (parts === undefined) return undefined
  const { word, colour, sender, conversationId, text, loud, details } = parts
  const time = clockTime(arrived, wide)
  const room = style.width - time.length - CONVERSATION_COLUMNS - WORD_COLUMNS - SENDER_COLUMNS - 4
  const painted = (one: Style, shown: string): string => paint(style.colours, one, shown)
  // what went wrong is worth a second line of a narrow terminal, and what a service logs is meant to be read by whoever works on it
  const most = details !== undefined && style.details ? LOG_COLUMNS : loud ? LOUD_COLUMNS : Math.max(room, 20)
  const shown = cut(visible(text), most)
  const line = [
    painted('gray', time),
    painted(conversationColour(conversationId), visible(conversationId).slice(-CONVERSATION_COLUMNS).padEnd(4)),
    painted(colour, cut(visible(word), WORD_COLUMNS).padEnd(WORD_COLUMNS)),
    painted('bold', cut(visible(sender), SENDER_COLUMNS).padEnd(SENDER_COLUMNS)),
    loud ? painted(colour, shown) : shown,
  ].join(' ')
  return style.details && details !== undefined && details !== ''
    ? `${line}\n${painted('gray', indented(details))}`
    : line
}

function partsOf(message: IncomingMessage, keyColumns: number, level: LevelName): Parts | undefined {
  const kind = kindOf(message)
  if (kind === 'log') return logParts(message, level)
  const { routingKey, properties } = message
  const headers = properties.headers ?? {}
  const common = { sender: properties.appId ?? '', conversationId: textOf(headers['conversation_id']) }
  if (kind === 'dead letter') {
    const text = `dead: ${routingKey}, ${causeOfDeath(headers)}  ${payloadOf(message)}`
    return { ...common, word: 'dead', colour: 'red', text, loud: true }
  }
  const outcome = kind === 'result' && headers['status'] !== 'success' ? `${textOf(headers['status'])} ` : ''
  const text = `${routingKey.padEnd(keyColumns)}  ${outcome}${payloadOf(message)}`
  return { ...common, ...KINDS[kind], text, loud: outcome !== '' }
}

/** A record that is not GELF, or of a level that nobody knows, is shown: it is worth a look. */
function logParts({ routingKey, body }: IncomingMessage, least: LevelName): Parts | undefined {
  const lastDot = routingKey.lastIndexOf('.')
  const level = routingKey.slice(lastDot + 1)
  if (isLevel(level) && levelNumber(level) > levelNumber(least)) return undefined
  const common = {
    word: level,
    colour: isLevel(level) ? colourOfLevel(level) : 'red',
    sender: routingKey.slice(0, lastDot),
    loud: !isLevel(level) || levelNumber(level) <= levelNumber('WARNING'),
  } as const
  const record = recordOf(body)
  if (record === undefined) {
    const text = `no log record: ${Buffer.from(body.subarray(0, 200)).toString('latin1')}`
    return { ...common, conversationId: '', text }
  }
  return {
    ...common,
    conversationId: textOf(record['_conversation_id']),
    text: textOf(record['short_message']),
    details: textOf(record['full_message']),
  }
}

/** The fields of a log record; undefined where the body is none. */
export function recordOf(body: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const record: unknown = JSON.parse(Buffer.from(body).toString('utf8'))
    return typeof record === 'object' && record !== null ? (record as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** Why the broker took the message out of the queue in which it died last, in words. */
function causeOfDeath(headers: Readonly<Record<string, unknown>>): string {
  const [death] = deathsOf(headers)
  return death === undefined ? 'nobody says why' : describeDeath({ ...death, time: undefined }, new Date())
}

function payloadOf({ body, properties: { contentType } }: IncomingMessage): string {
  if (body.length > MAX_DECODED_BYTES) return `<${body.length} bytes of ${contentType ?? 'unknown type'}>`
  try {
    return JSON.stringify(decodePayload(body, contentType), forJson)
  } catch {
    return `<${body.length} bytes that are no ${contentType ?? 'JSON'}>`
  }
}

function forJson(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return `<${value.length} bytes>`
  return typeof value === 'bigint' ? `${value}n` : value
}

function isLevel(text: string): text is LevelName {
  return LEVELS.some((level) => level === text)
}

function colourOfLevel(level: LevelName): Style {
  const number = levelNumber(level)
  return number <= levelNumber('ERROR') ? 'red' : number === levelNumber('WARNING') ? 'yellow' : 'gray'
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function indented(details: string): string {
  const lines = visibleLines(details.trimEnd())
    .split('\n')
    .filter((line) => !IS_INNER_FRAME.test(line))
  const more = lines.length > MOST_DETAIL_LINES ? [`… ${lines.length - MOST_DETAIL_LINES} lines more`] : []
  return [...lines.slice(0, MOST_DETAIL_LINES), ...more].map((line) => `    ${cut(line, 500)}`).join('\n')
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
function conversationColour(conversationId: string): Style {
  let hash = 0
  for (const character of conversationId) hash = (hash * 31 + character.charCodeAt(0)) >>> 0
  return CONVERSATION_COLOURS[hash % CONVERSATION_COLOURS.length] ?? 'gray'
}
