/** `eventail logger`: the log bus, as it goes. */
import { type LogRecord } from '../../log/gelf.ts'
import { type LevelName, levelNumber, LEVELS } from '../../log/levels.ts'
import { formatRecord } from '../../log/logger.ts'
import { checkPattern, EXCHANGES } from '../../topology/names.ts'
import { tap } from '../../transport/tap.ts'
import type { IncomingMessage } from '../../wire/message.ts'
import { visible } from '../../wire/text.ts'
import {
  type BrokerOptions,
  EXIT,
  levelOption,
  SkippingPrinter,
  takeBroker,
  type Terminal,
  UsageError,
} from '../command-line.ts'
import { checkBroker } from '../connect.ts'
import { envelopeLine } from '../../observe/envelope.ts'
import { makeRedact } from '../../observe/redact.ts'

export interface LoggerOptions extends BrokerOptions {
  readonly filter?: readonly string[]
  readonly level?: string
  readonly redact?: readonly string[]
  readonly service?: readonly string[]
  readonly json?: boolean
}

export async function logger(operands: readonly string[], options: LoggerOptions, terminal: Terminal): Promise<number> {
  const { broker, tls, rest } = takeBroker(operands, options, terminal)
  const patterns = patternsOf([...(options.filter ?? []), ...rest], options)
  const redact = makeRedact(options.redact)
  const printer = new SkippingPrinter(terminal)
  await checkBroker(broker, tls, terminal)
  await tap({
    brokers: [broker],
    tls,
    name: 'eventail logger',
    patterns: { [EXCHANGES.log]: patterns },
    signal: terminal.signal,
    onConnected: ({ shown }) => terminal.say(`logs of ${shown}: ${patterns.join(' ')}`),
    onLost: (reason) => terminal.say(`${reason.message}; trying again`),
    onMessage: (message) =>
      printer.print(() => {
        const shown = redact(message)
        return options.json === true ? envelopeLine(shown) : textOf(shown, terminal.colours)
      }),
  })
  printer.tell()
  return EXIT.ok
}

/** @throws UsageError, InvalidSettingError */
function patternsOf(filter: readonly string[], { level, service = [] }: LoggerOptions): readonly string[] {
  for (const pattern of filter) checkPattern('--filter', pattern)
  if (filter.length > 0) {
    if (level !== undefined || service.length > 0)
      throw new UsageError('--filter goes without --level and --service: it names both, as service.LEVEL')
    return filter
  }
  const levels = level === undefined ? ['*'] : levelsFrom(level)
  const services = service.length === 0 ? ['#'] : service
  return services.flatMap((name) => levels.map((one) => (one === '*' && name === '#' ? '#' : `${name}.${one}`)))
}

function levelsFrom(level: string): readonly string[] {
  return LEVELS.slice(0, levelNumber(levelOption(level)) + 1)
}

function textOf(message: IncomingMessage, colours: boolean): string {
  const text = new TextDecoder().decode(message.body)
  let gelf: unknown
  try {
    gelf = JSON.parse(text)
  } catch {
    return `${visible(message.routingKey)}  (not JSON) ${visible(text)}`
  }
  if (typeof gelf !== 'object' || gelf === null || Array.isArray(gelf))
    return `${visible(message.routingKey)}  (not GELF) ${visible(text)}`
  return formatRecord(recordOf(gelf as Record<string, unknown>, message.routingKey), colours)
}

/** A record of whatever a peer put into its GELF. */
function recordOf(gelf: Record<string, unknown>, routingKey: string): LogRecord {
  const dot = routingKey.lastIndexOf('.')
  const keyLevel = routingKey.slice(dot + 1)
  const level: LevelName = LEVELS.find((name) => name === keyLevel) ?? LEVELS[Number(gelf['level'])] ?? 'INFO'
  const text = (value: unknown): string =>
    value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value)
  const timestamp = Number(gelf['timestamp'])
  return {
    level,
    short: text(gelf['short_message']),
    full: text(gelf['full_message']),
    conversationId: text(gelf['_conversation_id']),
    service: dot < 0 ? routingKey : routingKey.slice(0, dot),
    hostname: '',
    pid: 0,
    timestamp: Math.abs(timestamp) < 8e9 && gelf['timestamp'] !== undefined ? timestamp : Date.now() / 1000,
    fields: {},
  }
}
