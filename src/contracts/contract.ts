/**
 * Contracts: the messages of a service as plain values, with names checked once and payload types inferred from schemas.
 *
 * A schema is anything that speaks Standard Schema (zod, valibot, arktype…). It is optional: without one a payload is
 * `unknown`, and only has to be data that can be sent.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { InvalidSettingError } from '../errors.ts'
import { checkOptions, describe } from '../options.ts'
import { checkRoutingKey } from '../topology/names.ts'

/** A schema for payloads: `In` is what a sender gives, `Out` what a receiver gets. */
export type Schema<In = unknown, Out = In> = StandardSchemaV1<In, Out>

/** What a sender gives for this schema; `unknown` without one. */
export type InputOf<S> = S extends Schema ? StandardSchemaV1.InferInput<S> : unknown
/** What a receiver gets for this schema; `unknown` without one. */
export type OutputOf<S> = S extends Schema ? StandardSchemaV1.InferOutput<S> : unknown

/** A schema that may be left out. */
export type OptionalSchema = Schema | undefined

/** An event: its name and the schema of its payload. Made by {@link defineEvent}. */
export interface EventContract<S extends OptionalSchema = OptionalSchema> {
  readonly kind: 'event'
  /** The routing key: `SubjectPastParticiple`, as in `ConversationStarted`. */
  readonly name: string
  /** The schema; undefined for none. */
  readonly payload: S
}

/** A configuration: its name and the schema of its payload. Made by {@link defineConfiguration}. */
export interface ConfigurationContract<S extends OptionalSchema = OptionalSchema> {
  readonly kind: 'configuration'
  /** The routing key, like that of an event. */
  readonly name: string
  /** The schema; undefined for none. */
  readonly payload: S
}

/** A command: its name, and the schemas of its payload and of its results. Made by {@link defineCommand}. */
export interface CommandContract<
  P extends OptionalSchema = OptionalSchema,
  R extends OptionalSchema = OptionalSchema,
  E extends OptionalSchema = OptionalSchema,
> {
  readonly kind: 'command'
  /** The routing key: `logical_service.VerbObject`, as in `voxo.TranscribeAudio`. */
  readonly name: string
  /** The schema of its payload; undefined for none, here and below. */
  readonly payload: P
  /** That of a result with status `success`. */
  readonly result: R
  /** That of a result with status `error`. */
  readonly error: E
}

/**
 * Describes an event: a business fact that its service publishes for whoever cares. Without a schema its payload is `unknown`.
 * @throws InvalidSettingError when the name cannot be a routing key
 */
export function defineEvent(name: string): EventContract<undefined>
/**
 * Describes an event with the schema of its payload, which is checked when it is sent and when it comes in.
 * @throws InvalidSettingError when the name cannot be a routing key, or the schema is none
 */
export function defineEvent<S extends Schema>(name: string, payload: S): EventContract<S>
export function defineEvent(name: string, payload?: Schema): EventContract {
  checkRoutingKey('event name', name)
  checkSchema(`payload of event '${name}'`, payload)
  return Object.freeze({ kind: 'event', name, payload })
}

/**
 * Describes a configuration: what services wait for before they work. Without a schema its payload is `unknown`.
 * @throws InvalidSettingError when the name cannot be a routing key
 */
export function defineConfiguration(name: string): ConfigurationContract<undefined>
/**
 * Describes a configuration with the schema of its payload, which is checked when it is sent and when it comes in.
 * @throws InvalidSettingError when the name cannot be a routing key, or the schema is none
 */
export function defineConfiguration<S extends Schema>(name: string, payload: S): ConfigurationContract<S>
export function defineConfiguration(name: string, payload?: Schema): ConfigurationContract {
  checkRoutingKey('configuration name', name)
  checkSchema(`payload of configuration '${name}'`, payload)
  return Object.freeze({ kind: 'configuration', name, payload })
}

/** The schemas of a command; each may be left out. */
export interface CommandSchemas<P extends OptionalSchema, R extends OptionalSchema, E extends OptionalSchema> {
  /** The payload of the command. */
  readonly payload?: P
  /** The payload of a result with status `success`. */
  readonly result?: R
  /** The payload of a result with status `error`. */
  readonly error?: E
}

/**
 * Describes a command: an order to one logical service, answered with a result or an error result.
 * @throws InvalidSettingError unless the name is `logical_service.VerbObject`, and each schema is one
 */
export function defineCommand<
  P extends OptionalSchema = undefined,
  R extends OptionalSchema = undefined,
  E extends OptionalSchema = undefined,
>(name: string, schemas: CommandSchemas<P, R, E> = {}): CommandContract<P, R, E> {
  checkCommandName(name)
  if (isSchema(schemas))
    throw new InvalidSettingError(`command '${name}'`, 'takes { payload, result, error }, each with a schema')
  checkOptions(`command '${name}'`, schemas, ['payload', 'result', 'error'])
  for (const part of ['payload', 'result', 'error'] as const) checkSchema(`${part} of command '${name}'`, schemas[part])
  return Object.freeze({
    kind: 'command',
    name,
    payload: schemas.payload as P,
    result: schemas.result as R,
    error: schemas.error as E,
  })
}

/** @throws InvalidSettingError unless it is `logical_service.VerbObject` */
export function checkCommandName(name: unknown): asserts name is string {
  checkRoutingKey('command name', name)
  if (!name.includes('.')) {
    throw new InvalidSettingError('command name', `'${name}' names no service; write 'logical_service.${name}'`)
  }
}

function checkSchema(what: string, schema: unknown): void {
  if (schema === undefined || isSchema(schema)) return
  const mend = 'give a schema of zod, valibot, arktype or another library that speaks Standard Schema, or none'
  throw new InvalidSettingError(what, `is not a schema, but ${describe(schema)}; ${mend}`)
}

function isSchema(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  const standard: unknown = Reflect.get(value, '~standard')
  return typeof standard === 'object' && standard !== null && typeof Reflect.get(standard, 'validate') === 'function'
}

/** The last word of a routing key: what commands and results are dispatched by. */
export function lastWord(routingKey: string): string {
  return routingKey.slice(routingKey.lastIndexOf('.') + 1)
}

/** All but the last word of a command's name: the logical service that it is for. */
export function serviceOf(commandName: string): string {
  return commandName.slice(0, commandName.lastIndexOf('.'))
}
