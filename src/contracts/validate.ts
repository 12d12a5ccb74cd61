/**
 * Validation at the boundary. Fields that a schema does not know pass through: a newer version of a peer may add some.
 */
import { isDeepStrictEqual } from 'node:util'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ContractError, type ContractIssue } from '../errors.ts'
import type { Schema } from './contract.ts'

/**
 * Checks a payload that came in.
 * @param subject how the error names the message
 * @returns the payload as the schema gives it (defaults and transformations applied), with unknown fields kept
 * @throws ContractError with all issues
 */
export function validate(schema: Schema | undefined, payload: unknown, subject: string): unknown {
  if (schema === undefined) return payload
  const result = schema['~standard'].validate(payload)
  return result instanceof Promise
    ? result.then((settled) => outcome(settled, payload, subject))
    : outcome(result, payload, subject)
}

/**
 * Checks a payload that goes out. It is sent as it was given: a schema's transformations are for receivers.
 * @returns a promise only where the schema works asynchronously, so that messages go out in the order of the calls
 * @throws ContractError with all issues
 */
export function check(schema: Schema | undefined, payload: unknown, subject: string): void | Promise<void> {
  const checked = validate(schema, payload, subject)
  if (checked instanceof Promise) return checked.then(() => {})
}

function outcome(result: StandardSchemaV1.Result<unknown>, payload: unknown, subject: string): unknown {
  if (result.issues !== undefined) throw new ContractError(subject, result.issues.map(issueOf))
  return keepUnknown(payload, result.value)
}

function issueOf(issue: StandardSchemaV1.Issue): ContractIssue {
  let path = ''
  for (const segment of issue.path ?? []) {
    const key = typeof segment === 'object' ? segment.key : segment
    path += typeof key === 'number' ? `[${key}]` : path === '' ? String(key) : `.${String(key)}`
  }
  return { path, message: issue.message }
}

/** The schema's output, completed with the fields of the input that the schema left out. */
function keepUnknown(input: unknown, output: unknown): unknown {
  if (input === output) return output
  if (Array.isArray(input) && Array.isArray(output) && input.length === output.length) {
    return output.map((item, index) => (isMoved(input, index, item) ? item : keepUnknown(input[index], item)))
  }
  if (!isPlain(input) || !isPlain(output)) return output
  const complete: Record<string, unknown> = {}
  for (const key of new Set([...Object.keys(output), ...Object.keys(input)])) {
    const value = Object.hasOwn(output, key) ? keepUnknown(input[key], output[key]) : input[key]
    Object.defineProperty(complete, key, { value, writable: true, enumerable: true, configurable: true })
  }
  return complete
}

/** Whether a schema that changes the order put an item of another place here, whose fields this one must not get. */
function isMoved(input: readonly unknown[], index: number, item: unknown): boolean {
  if (!isPlain(item) || agrees(input[index], item)) return false
  return input.some((other, at) => at !== index && agrees(other, item))
}

/** Whether what both have is the same. */
function agrees(input: unknown, item: Record<string, unknown>): boolean {
  if (!isPlain(input)) return false
  return Object.keys(item).every((key) => !Object.hasOwn(input, key) || isDeepStrictEqual(input[key], item[key]))
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
