/** Which messages a command is about: topic patterns, fields of the payload, JSONata expressions over the envelope. */
import jsonata from 'jsonata'
import { InvalidSettingError } from '../errors.ts'
import { matches } from '../topology/match.ts'
import { checkPattern } from '../topology/names.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { visible } from '../wire/text.ts'
import { envelopeOf } from './envelope.ts'
import { bodyOf } from './body.ts'

export interface FilterOptions {
  /** Topic patterns for the routing key; one has to match. */
  readonly filter?: readonly string[] | undefined
  /** `path.to.field=value`; all have to match. */
  readonly filterFields?: readonly string[] | undefined
  /** JSONata over the envelope; has to be true. */
  readonly where?: string | undefined
  /** Fields that nobody is to see: what an expression says about a payload is not told then. */
  readonly redact?: readonly string[] | undefined
}

/** Whether the options leave anything out. */
export function isFiltering({ filter = [], filterFields = [], where }: FilterOptions): boolean {
  return filter.length > 0 || filterFields.length > 0 || where !== undefined
}

/** How long the expression may take for a message. */
const WHERE_MS = 500

export type Filter = (message: IncomingMessage) => Promise<boolean>

/**
 * @param onProblem told, escaped, of messages that the expression cannot judge: they are left out
 * @throws InvalidSettingError when a pattern, a field or the expression is wrong
 */
export function makeFilter(
  { filter = [], filterFields = [], where, redact = [] }: FilterOptions,
  onProblem: (text: string) => void = () => {},
): Filter {
  for (const pattern of filter) checkPattern('--filter', pattern)
  const fields = filterFields.map(parseField)
  const expression = where === undefined ? undefined : compile(where)
  return async (message) => {
    if (filter.length > 0 && !filter.some((pattern) => matches(pattern, message.routingKey))) return false
    if (fields.length === 0 && expression === undefined) return true
    const body = bodyOf(message)
    if (fields.length > 0 && (!body.decoded || !fields.every((field) => fits(body.value, field)))) return false
    if (expression === undefined) return true
    try {
      return (await expression.evaluate(envelopeOf(message, body))) === true
    } catch (error) {
      // it fails with plain objects, whose message may quote the payload
      const { code, message: text } = error as { code?: unknown; message?: unknown }
      const why = redact.length === 0 ? `${String(text ?? error)} ` : ''
      onProblem(visible(`--where cannot judge '${message.routingKey}': ${why}(${String(code)})`))
      return false
    }
  }
}

interface Field {
  readonly path: readonly string[]
  readonly text: string
}

function parseField(field: string): Field {
  const at = field.indexOf('=')
  if (at < 1) throw new InvalidSettingError('--filter-fields', `'${field}' is not path.to.field=value`)
  return { path: field.slice(0, at).split('.'), text: field.slice(at + 1) }
}

function fits(payload: unknown, { path, text }: Field): boolean {
  let value = payload
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return false
    value = (value as Record<string, unknown>)[key]
  }
  return typeof value === 'string' ? value === text : JSON.stringify(value) === text
}

function compile(where: string): jsonata.Expression {
  try {
    return jsonata(where, { timeout: WHERE_MS, stack: 200 })
  } catch (error) {
    const { message, position } = error as jsonata.JsonataError
    throw new InvalidSettingError('--where', `${message} (at character ${position})`)
  }
}
