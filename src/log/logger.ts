/**
 * Logging to the bus. Never awaited and never throws: a log must not fail the work that it tells of.
 *
 * Records go to the `logs` exchange. On stderr they appear from a level on, and, while the bus cannot take them, from
 * WARNING on, one line each, with whatever could disturb a terminal escaped.
 */
import { hostname } from 'node:os'
import { styleText } from 'node:util'
import { EXCHANGES } from '../topology/names.ts'
import type { OutgoingMessage } from '../wire/message.ts'
import { visible, visibleLines } from '../wire/text.ts'
import { describeError } from './describe-error.ts'
import { encodeGelf, type LogFields, type LogRecord, refusedFields } from './gelf.ts'
import { type LevelName, levelNumber, type StderrLevel } from './levels.ts'

/** What a record may say beside its line. */
export interface LogDetails {
  /** Everything else that helps (a stack trace, a payload); may have several lines. @default '' */
  readonly full?: string
  /** Additional GELF fields. Names get a `_` prefix unless they have one; `id` is left out, with a WARNING. @default none */
  readonly fields?: LogFields
  /** @default that of the message being handled, or none */
  readonly conversationId?: string
}

/** Writes a record of one level. `short` is one line; an error in its place is written with its stack. */
export type LogMethod = (short: string, details?: LogDetails) => void

/** Writes log records; one method a level. They never throw and there is nothing to await. */
export interface Log {
  /** Level 0: something is lost, or does not work any more. The toolkit: a message is given up, the service stops. */
  readonly emergency: LogMethod
  /** Level 1: somebody has to act at once. The toolkit: a handler failed. */
  readonly alert: LogMethod
  /** Level 2. */
  readonly critical: LogMethod
  /** Level 3: something failed. */
  readonly error: LogMethod
  /** Level 4: something may fail. */
  readonly warning: LogMethod
  /** Level 5: normal, and worth knowing. */
  readonly notice: LogMethod
  /** Level 6. */
  readonly info: LogMethod
  /** Level 7: for those who develop it. */
  readonly debug: LogMethod
}

/** The part of the transport that takes records. */
export interface LogSink {
  readonly isOpen: boolean
  publish(message: OutgoingMessage): void
}

export interface LoggerOptions {
  readonly service: string
  readonly sink: LogSink
  readonly stderrLevel: StderrLevel
  /** Told every record. What it throws is ignored. */
  readonly onRecord?: ((record: LogRecord) => void) | undefined
}

export class Logger {
  readonly #options: LoggerOptions
  readonly #hostname = hostname()

  constructor(options: LoggerOptions) {
    this.#options = options
  }

  /** @param onStderr shows the record on stderr whatever its level */
  write(level: LevelName, short: string, details: LogDetails = {}, onStderr = false): void {
    try {
      this.#write(level, short, details, onStderr)
    } catch (error) {
      // a log must not fail the work that it tells of, whatever it was given
      this.#write('WARNING', `a log record could not be written: ${describeError(error).summary}`, {}, onStderr)
    }
  }

  #write(level: LevelName, short: string, details: LogDetails, onStderr: boolean): void {
    const record: LogRecord = {
      level,
      short: asText(short),
      full: asText(details.full ?? ''),
      conversationId: asText(details.conversationId ?? ''),
      service: this.#options.service,
      hostname: this.#hostname,
      pid: process.pid,
      timestamp: Date.now() / 1000,
      fields: details.fields ?? {},
    }
    this.#deliver(record, onStderr)
    const refused = refusedFields(record.fields)
    if (refused.length > 0) {
      this.#deliver(
        {
          ...record,
          level: 'WARNING',
          short: `log field '${refused.join("', '")}' was left out: GELF keeps that name`,
          full: '',
          fields: {},
        },
        false,
      )
    }
  }

  /** A log whose records carry this conversation id. */
  bound(conversationId: string): Log {
    const method = (level: LevelName): LogMethod => {
      return (short, details) => this.write(level, short, { conversationId, ...details })
    }
    return {
      emergency: method('EMERGENCY'),
      alert: method('ALERT'),
      critical: method('CRITICAL'),
      error: method('ERROR'),
      warning: method('WARNING'),
      notice: method('NOTICE'),
      info: method('INFO'),
      debug: method('DEBUG'),
    }
  }

  #deliver(record: LogRecord, onStderr: boolean): void {
    const { sink, stderrLevel, onRecord, service } = this.#options
    sink.publish({
      exchange: EXCHANGES.log,
      routingKey: `${service}.${record.level}`,
      mandatory: false,
      properties: { persistent: false, contentType: 'application/json' },
      body: encodeGelf(record),
    })
    if (stderrLevel !== 'NONE') {
      const wanted = stderrLevel === 'UNSENT' ? -1 : levelNumber(stderrLevel)
      const shownFrom = Math.max(wanted, sink.isOpen ? -1 : levelNumber('WARNING'))
      if (onStderr || levelNumber(record.level) <= shownFrom)
        process.stderr.write(`${formatRecord(record, process.stderr.isTTY)}\n`)
    }
    try {
      onRecord?.(record)
    } catch {
      // the user's own observer failed: it must not fail the work that is being logged
    }
  }
}

/** What is no text (an error, as a rule) is told as one. */
function asText(value: unknown): string {
  return typeof value === 'string' ? value : describeError(value).full
}

/** A record as text: one line, and the full message indented below it. @param colours with the escape codes of a terminal */
export function formatRecord(record: LogRecord, colours: boolean): string {
  const time = new Date(record.timestamp * 1000).toISOString()
  const level = record.level.padEnd(9)
  const conversation = record.conversationId === '' ? '' : `  [${visible(record.conversationId)}]`
  const shown = colours ? styleText(colourOf(record.level), level, { validateStream: false }) : level
  const line = `${time} ${shown} ${visible(record.service)}  ${visible(record.short)}${conversation}`
  if (record.full === '') return line
  return `${line}\n${visibleLines(record.full).trimEnd().replaceAll(/^/gm, '    ')}`
}

function colourOf(level: LevelName): 'red' | 'yellow' | 'green' | 'gray' {
  const number = levelNumber(level)
  return number <= 3 ? 'red' : number === 4 ? 'yellow' : number <= 6 ? 'green' : 'gray'
}
