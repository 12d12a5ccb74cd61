/** Log records as GELF 1.1, in the form that all services of the bus share (docs/protocol.md, section 8). */
import { inspect } from 'node:util'
import { type LevelName, levelNumber } from './levels.ts'

/** Additional fields, by name. Strings and finite numbers are sent as they are, bigints as digits, anything else as its JSON text. */
export type LogFields = Readonly<Record<string, unknown>>

/** One log record, as `onLog` is told it. */
export interface LogRecord {
  /** How severe it is. */
  readonly level: LevelName
  /** One line. */
  readonly short: string
  /** Everything else that helps, as a stack trace; may have several lines. */
  readonly full: string
  /** Empty for none. */
  readonly conversationId: string
  /** The logical service, or the name of the endpoint. */
  readonly service: string
  readonly hostname: string
  /** Of the process. */
  readonly pid: number
  /** Seconds since the epoch, with fractions. */
  readonly timestamp: number
  /** Additional fields, as they were given. */
  readonly fields: LogFields
}

/** Names that GELF keeps for itself. */
const RESERVED = new Set(['id', '_id'])

/** The names among these fields that GELF refuses. */
export function refusedFields(fields: LogFields): readonly string[] {
  return Object.keys(fields).filter((name) => RESERVED.has(name))
}

/** The record as bytes of UTF-8 JSON. Fields that GELF refuses are left out. */
export function encodeGelf(record: LogRecord): Buffer {
  const gelf: Record<string, unknown> = {
    version: '1.1',
    short_message: record.short,
    full_message: record.full,
    level: levelNumber(record.level),
    _levelname: record.level,
    host: `${record.service}@${record.hostname}`,
    timestamp: record.timestamp,
    _conversation_id: record.conversationId,
    _logical_service: record.service,
    _worker_pid: record.pid,
  }
  for (const [name, value] of Object.entries(record.fields)) {
    if (RESERVED.has(name) || value === undefined) continue
    const key = (name.startsWith('_') ? name : `_${name}`).replaceAll(/[^\w.-]/g, '_')
    if (!Object.hasOwn(gelf, key)) gelf[key] = fieldValue(value)
  }
  return Buffer.from(JSON.stringify(gelf, wellFormed), 'utf8')
}

/** JSON would carry a lone surrogate as an escape, which readers in other languages cannot print. */
function wellFormed(_key: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed() : value
}

function fieldValue(value: unknown): string | number {
  if (typeof value === 'string') return value
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number' && Number.isFinite(value)) return value
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return inspect(value)
  }
}
