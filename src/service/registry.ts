/**
 * Which handler a message goes to, and which subscriptions follow from the handlers.
 *
 * Names from the wire are only ever looked up in maps that the service's author filled.
 */
import { lastWord, serviceOf } from '../contracts/contract.ts'
import { InvalidSettingError } from '../errors.ts'
import { matches } from '../topology/match.ts'
import { describe } from '../options.ts'
import { checkPattern, isPattern } from '../topology/names.ts'
import type { Subscriptions } from '../topology/plan.ts'
import { defaultReplyTo, type Handler, type HandlerKind } from './handlers.ts'

interface Lookup {
  /** By routing key (events, configurations) or by its last word (commands, results). */
  readonly exact: Map<string, Handler>
  /** In the order in which they were given: the first that matches is taken. */
  readonly patterns: { readonly pattern: string; readonly handler: Handler }[]
}

export class Registry {
  readonly subscriptions: Subscriptions
  readonly #lookups: Record<HandlerKind, Lookup> = {
    event: { exact: new Map(), patterns: [] },
    command: { exact: new Map(), patterns: [] },
    result: { exact: new Map(), patterns: [] },
    configuration: { exact: new Map(), patterns: [] },
  }

  /** @throws InvalidSettingError for a bad pattern, a foreign command, or two handlers for one key */
  constructor(service: string, handlers: readonly Handler[]) {
    const keys: Record<HandlerKind, string[]> = { event: [], command: [], result: [], configuration: [] }
    for (const handler of handlers) {
      if (!isHandler(handler))
        throw new InvalidSettingError(
          'handlers',
          `hold ${describe(handler)}; make handlers with onEvent, onCommand, onResult and onConfiguration`,
        )
    }
    for (const handler of handlers) keys[handler.kind].push(this.#add(service, handler))
    this.subscriptions = {
      events: keys.event,
      commands: [...new Set([...keys.command, ...keys.result])],
      configurations: keys.configuration,
    }
  }

  /** The handler for a message of this kind; undefined when none was registered. */
  find(kind: HandlerKind, routingKey: string): Handler | undefined {
    const { exact, patterns } = this.#lookups[kind]
    const name = isForOneService(kind) ? lastWord(routingKey) : routingKey
    return exact.get(name) ?? patterns.find(({ pattern }) => matches(pattern, routingKey))?.handler
  }

  #add(service: string, handler: Handler): string {
    const { kind, key } = handler
    checkPattern(`key of ${kind} handler`, key)
    const routingKey = isForOneService(kind) ? ownKey(service, handler) : key
    const { exact, patterns } = this.#lookups[kind]
    const twice = (): never => {
      throw new InvalidSettingError(
        'handlers',
        `two handlers for ${kind} '${routingKey}' in service '${service}'; ${
          kind === 'result' ? 'give one of the commands a replyTo of its own' : 'keep one'
        }`,
      )
    }
    if (isPattern(routingKey)) {
      if (patterns.some(({ pattern }) => pattern === routingKey)) twice()
      patterns.push({ pattern: routingKey, handler })
    } else {
      const name = isForOneService(kind) ? lastWord(routingKey) : routingKey
      if (exact.has(name)) twice()
      exact.set(name, handler)
    }
    return routingKey
  }
}

function isHandler(value: Handler): boolean {
  return typeof value === 'object' && value !== null && typeof value.run === 'function' && isKind(value.kind)
}

function isKind(kind: string): boolean {
  return ['event', 'command', 'result', 'configuration'].includes(kind)
}

/** Commands and results go to one service, and are told by their last word. */
function isForOneService(kind: HandlerKind): boolean {
  return kind === 'command' || kind === 'result'
}

/** The full routing key of a command or result of this service. */
function ownKey(service: string, { kind, key }: Handler): string {
  if (!key.includes('.')) return key === '#' ? key : `${service}.${key}`
  if (!isPattern(key) && serviceOf(key) !== service) {
    const mend =
      kind === 'result'
        ? `: results come in under the replyTo of their command, '${defaultReplyTo(key)}' by default: name that, or give the contract`
        : ''
    throw new InvalidSettingError(
      'handlers',
      `${kind} '${key}' is for service '${serviceOf(key)}', and this is service '${service}'${mend}`,
    )
  }
  return key
}
