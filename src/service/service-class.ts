/**
 * `Service`: the same runtime for those who prefer inheritance, with the methods that the Python toolkit lets one
 * override. Subscriptions are given to the constructor; one method handles each kind of message.
 */
import { InvalidSettingError, NoHandlerError } from '../errors.ts'
import { checkList, checkOptions } from '../options.ts'
import type {
  Bus,
  CommandContext,
  ConfigurationContext,
  EventContext,
  ResultContext,
  ReturnedMessage,
  ServiceContext,
} from './contexts.ts'
import { defineService, type ServiceDefinition } from './define-service.ts'
import { type Handler, onCommand, onConfiguration, onEvent, onResult } from './handlers.ts'
import { type ServiceSettings, SETTING_NAMES, type StartOptions } from './settings.ts'
import type { RunningService } from './running-service.ts'

/** What a service by inheritance is: its name, what it subscribes to, and its settings. */
export interface ServiceClassOptions extends ServiceSettings {
  /** The logical service: all workers of that name share its queues and the load. */
  readonly name: string
  /** Keys or patterns of events. @default [] */
  readonly events?: readonly string[]
  /** Keys of commands: `Verb` or `logical_service.Verb`. @default [] */
  readonly commands?: readonly string[]
  /** Keys of results: the `replyTo` of the commands that it sends, or its last word. @default [] */
  readonly results?: readonly string[]
  /** Keys of the configurations that it waits for. @default [] */
  readonly configurations?: readonly string[]
}

/** @throws InvalidSettingError */
function checkServiceClassOptions(options: ServiceClassOptions): void {
  for (const name of ['handlers', 'hooks']) {
    if (Object.hasOwn(Object(options), name))
      throw new InvalidSettingError(name, 'is for defineService: override the methods of Service instead')
  }
  checkOptions('service', options, ['name', 'events', 'commands', 'results', 'configurations', ...SETTING_NAMES])
}

/** A service by inheritance: extend it, override what it handles, and `start` or `run` it. */
export abstract class Service {
  /** The logical service. */
  readonly name: string
  readonly #definition: ServiceDefinition

  /** @throws InvalidSettingError when the name, a key or a setting cannot work */
  constructor(options: ServiceClassOptions) {
    checkServiceClassOptions(options)
    const { events = [], commands = [], results = [], configurations = [], ...settings } = options
    for (const [name, keys] of Object.entries({ events, commands, results, configurations })) checkList(name, keys)
    const handlers: Handler[] = [
      ...events.map((key) => onEvent(key, (context) => this.handleEvent(context))),
      ...commands.map((key) => onCommand(key, (context) => this.handleCommand(context))),
      ...results.map((key) => onResult(key, (context) => this.handleResult(context))),
      ...configurations.map((key) => onConfiguration(key, (context) => this.handleConfiguration(context))),
    ]
    this.name = settings.name
    this.#definition = defineService({
      ...settings,
      handlers,
      hooks: {
        onReady: (context) => this.onReady(context),
        onUnconfigured: (context) => this.onUnconfigured(context),
        onReturned: (message, context) => this.handleReturnedMessage(message, context),
      },
    })
  }

  /** As {@link ServiceDefinition.start}. */
  start(options?: StartOptions): Promise<RunningService> {
    return this.#definition.start(options)
  }

  /** As {@link ServiceDefinition.run}. */
  run(options?: StartOptions): Promise<void> {
    return this.#definition.run(options)
  }

  /** An event came; see `onEvent`. Not overridden: the message is dead-lettered at once, here and in the other three. */
  handleEvent(context: EventContext): unknown {
    throw this.#notOverridden('event', 'handleEvent', context.routingKey)
  }

  /** A command came. What it returns is the result; see `onCommand`. */
  handleCommand(context: CommandContext): unknown {
    throw this.#notOverridden('command', 'handleCommand', context.routingKey)
  }

  /** The result of a command came; `status` says which kind. */
  handleResult(context: ResultContext): unknown {
    throw this.#notOverridden('result', 'handleResult', context.routingKey)
  }

  /** A configuration came. Returns whether the service is configured now; see `onConfiguration`. */
  handleConfiguration(context: ConfigurationContext): boolean | Promise<boolean> {
    throw this.#notOverridden('configuration', 'handleConfiguration', context.routingKey)
  }

  /** A mandatory message of this worker came back; logged as ERROR unless overridden. What it throws stops the service, as in any hook. */
  handleReturnedMessage(message: ReturnedMessage, { log }: Pick<Bus, 'log'>): unknown {
    log.error(`message '${message.routingKey}' on exchange '${message.exchange}' came back: no queue is bound for it`)
    return undefined
  }

  /** The service consumes; the hook `onReady`. Runs again after each reconnect. */
  onReady(_context: ServiceContext): unknown {
    return undefined
  }

  /** The service waits for its configuration; the hook `onUnconfigured`. Runs again after each reconnect. */
  onUnconfigured(_context: ServiceContext): unknown {
    return undefined
  }

  #notOverridden(kind: string, method: string, routingKey: string): NoHandlerError {
    return new NoHandlerError(
      kind,
      routingKey,
      `service '${this.name}' subscribes to it, and does not override ${method}`,
    )
  }
}
