/**
 * Handlers as plain values: `onEvent`, `onCommand`, `onResult`, `onConfiguration`. What a service subscribes to follows
 * from them; there is no second list of routing keys.
 */
import {
  type CommandContract,
  type ConfigurationContract,
  type EventContract,
  type InputOf,
  lastWord,
  type OptionalSchema,
  type OutputOf,
  type Schema,
} from '../contracts/contract.ts'
import { InvalidSettingError } from '../errors.ts'
import { checkFunction, checkOptions, checkTimeout, describe } from '../options.ts'
import { type Once, type OnceOptions, resolveOnce } from './once.ts'
import type { CommandContext, ConfigurationContext, EventContext, ResultContext, SettleLater } from './contexts.ts'

/** What a handler handles. */
export type HandlerKind = 'event' | 'command' | 'result' | 'configuration'

/** The schemas that apply to the messages of a handler. */
export interface HandlerSchemas {
  /** Of events, commands and configurations. */
  readonly payload?: Schema | undefined
  /** Of results with status `success`: those sent by a handler of commands, or handled by one of results. */
  readonly result?: Schema | undefined
  /** The same with status `error`. */
  readonly error?: Schema | undefined
}

/** A handler, ready to be given to `defineService`. */
export interface Handler {
  readonly kind: HandlerKind
  /** The routing key or pattern as it was given; a single word of commands and results stands for one of this service. */
  readonly key: string
  /** From the contract; none for a name. */
  readonly schemas: HandlerSchemas
  /** Set where its work is to be done once per message. */
  readonly once: Once | undefined
  /** How long it may take, in milliseconds; undefined for the service's `handlerTimeoutMs`. */
  readonly timeoutMs: number | undefined
  /** @internal The user's function, with its types forgotten: the registry sees to it that they fit. */
  readonly run: (context: never) => unknown
}

type Answer<T> = T | Promise<T>

/** What a handler may be given beside its function. */
export interface HandlerOptions<C> {
  /** Do the work of each message once, however often it comes. @default every time */
  readonly once?: OnceOptions<C>
  /** How long the handler may take, in milliseconds, before it has failed; Infinity for ever. @default `handlerTimeoutMs` */
  readonly timeoutMs?: number
}

/** What handlers of events and results may return: {@link SETTLE_LATER}; anything else, or a promise of it, is ignored. */
export type EventAnswer = Answer<unknown>

/**
 * Handles events by name, which may hold the wildcards `*` (one word) and `#` (any number of words); the payload is `unknown`.
 *
 * Returns: the event is acknowledged once what the handler published is confirmed. Throws: tried again as `retry` says (once more),
 * then dead-lettered; PermanentError: dead-lettered at once.
 * @throws InvalidSettingError when an argument or an option cannot work; the name is checked by `defineService`
 */
export function onEvent(
  event: string,
  handle: (context: EventContext) => EventAnswer,
  options?: HandlerOptions<EventContext>,
): Handler
/**
 * Handles the events of a contract. Each payload is checked first: one that does not fit is dead-lettered at once. Else as by name.
 * @throws InvalidSettingError when an argument or an option cannot work
 */
// last, here and below, because compilers tell what is wrong with the last of several
export function onEvent<S extends OptionalSchema>(
  event: EventContract<S>,
  handle: (context: EventContext<OutputOf<S>>) => EventAnswer,
  options?: HandlerOptions<EventContext<OutputOf<S>>>,
): Handler
export function onEvent(
  event: EventContract | string,
  handle: (context: never) => unknown,
  options: HandlerOptions<never> = {},
): Handler {
  return simple('event', event, handle, options)
}

/**
 * Handles a command of this service by its full name, or by its last word; the payload is `unknown`.
 *
 * Returns: the caller gets that as the result (`null` for nothing). Throws CommandError: the caller gets an error result.
 * Throws anything else: as {@link onEvent}, and without a result.
 * @throws InvalidSettingError when an argument or an option cannot work; the name is checked by `defineService`
 */
export function onCommand(
  command: string,
  handle: (context: CommandContext) => Answer<unknown>,
  options?: HandlerOptions<CommandContext>,
): Handler
/**
 * Handles the command of a contract. Its payload is checked first, and what is answered before it is sent: a result that does not
 * fit is a failure. Else as by name.
 * @throws InvalidSettingError when an argument or an option cannot work
 */
export function onCommand<P extends OptionalSchema, R extends OptionalSchema, E extends OptionalSchema>(
  command: CommandContract<P, R, E>,
  handle: (context: CommandContext<OutputOf<P>, InputOf<R>, InputOf<E>>) => Answer<InputOf<R> | SettleLater>,
  options?: HandlerOptions<CommandContext<OutputOf<P>, InputOf<R>, InputOf<E>>>,
): Handler
export function onCommand(
  command: CommandContract | string,
  handle: (context: never) => unknown,
  options: HandlerOptions<never> = {},
): Handler {
  checkHandler('onCommand', 'command', command, handle)
  const rest = { run: handle, ...resolveOptions('onCommand', options) }
  if (typeof command === 'string') return { kind: 'command', key: command, schemas: {}, ...rest }
  const { name, payload, result, error } = command
  return { kind: 'command', key: name, schemas: { payload, result, error }, ...rest }
}

/** Under which key results of a command come in, and what every handler may be given. */
export interface ResultOptions<C = ResultContext> extends HandlerOptions<C> {
  /** The `replyTo` that the command was sent with. @default the command's last word with `Result` behind it */
  readonly replyTo?: string
}

/**
 * Handles the results of commands that this service sends, by their `replyTo`: its last word, or all of it. `status` tells a result
 * from an error result. Settles like {@link onEvent}.
 * @throws InvalidSettingError when an argument or an option cannot work; the key is checked by `defineService`
 */
export function onResult(
  replyTo: string,
  handle: (context: ResultContext) => EventAnswer,
  options?: HandlerOptions<ResultContext>,
): Handler
/**
 * Handles the results of a command by its contract, whose schemas they are checked with. Else as by `replyTo`.
 * @throws InvalidSettingError when an argument or an option cannot work
 */
export function onResult<P extends OptionalSchema, R extends OptionalSchema, E extends OptionalSchema>(
  command: CommandContract<P, R, E>,
  handle: (context: ResultContext<OutputOf<R>, OutputOf<E>>) => EventAnswer,
  options?: ResultOptions<ResultContext<OutputOf<R>, OutputOf<E>>>,
): Handler
export function onResult(
  command: CommandContract | string,
  handle: (context: never) => unknown,
  { replyTo, ...options }: ResultOptions<never> = {},
): Handler {
  checkHandler('onResult', 'command', command, handle)
  const rest = { run: handle, ...resolveOptions('onResult', options) }
  if (typeof command === 'string') return { kind: 'result', key: command, schemas: {}, ...rest }
  const { name, result, error } = command
  return { kind: 'result', key: replyTo ?? defaultReplyTo(name), schemas: { result, error }, ...rest }
}

/**
 * Handles configurations by name, or pattern. In each connection, a service that has such handlers consumes nothing else until one of
 * them answers `true`. Settles like {@link onEvent}.
 * @throws InvalidSettingError when an argument or an option cannot work; the name is checked by `defineService`
 */
export function onConfiguration(
  configuration: string,
  handle: (context: ConfigurationContext) => Answer<boolean>,
  options?: HandlerOptions<ConfigurationContext>,
): Handler
/**
 * Handles the configuration of a contract, whose payload is checked first. Else as by name.
 * @throws InvalidSettingError when an argument or an option cannot work
 */
export function onConfiguration<S extends OptionalSchema>(
  configuration: ConfigurationContract<S>,
  handle: (context: ConfigurationContext<OutputOf<S>>) => Answer<boolean>,
  options?: HandlerOptions<ConfigurationContext<OutputOf<S>>>,
): Handler
export function onConfiguration(
  configuration: ConfigurationContract | string,
  handle: (context: never) => unknown,
  options: HandlerOptions<never> = {},
): Handler {
  return simple('configuration', configuration, handle, options)
}

/** Where the result of a command goes unless the sender says otherwise. */
export function defaultReplyTo(commandName: string): string {
  return `${lastWord(commandName)}Result`
}

/** @param kind of the contract that the function takes */
function checkHandler(name: string, kind: string, contract: unknown, handle: unknown): void {
  const given: unknown = typeof contract === 'object' && contract !== null ? Reflect.get(contract, 'kind') : undefined
  if (typeof contract !== 'string' && given !== kind) {
    const wanted = `the contract of ${kind === 'event' ? 'an' : 'a'} ${kind}`
    const what = typeof given === 'string' ? `that of ${given === 'event' ? 'an' : 'a'} ${given}` : describe(contract)
    throw new InvalidSettingError(name, `takes a name or ${wanted}, not ${what}`)
  }
  checkFunction(`handler of ${name}`, handle)
}

function simple(
  kind: 'event' | 'configuration',
  contract: EventContract | ConfigurationContract | string,
  run: (context: never) => unknown,
  options: HandlerOptions<never>,
): Handler {
  const name = kind === 'event' ? 'onEvent' : 'onConfiguration'
  checkHandler(name, kind, contract, run)
  const rest = { run, ...resolveOptions(name, options) }
  if (typeof contract === 'string') return { kind, key: contract, schemas: {}, ...rest }
  return { kind, key: contract.name, schemas: { payload: contract.payload }, ...rest }
}

/** @throws InvalidSettingError */
function resolveOptions(name: string, options: HandlerOptions<never>): Pick<Handler, 'once' | 'timeoutMs'> {
  checkOptions(`options of ${name}`, options, ['once', 'timeoutMs'])
  const { once, timeoutMs } = options
  if (timeoutMs !== undefined) checkTimeout('timeoutMs', timeoutMs)
  return { once: once === undefined ? undefined : resolveOnce(once), timeoutMs }
}
