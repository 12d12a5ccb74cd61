/**
 * `defineService`: a service as a plain value. Nothing happens, and nothing is connected, before `start` or `run`.
 */
import { InvalidSettingError } from '../errors.ts'
import { checkFunction, checkList, checkOptions } from '../options.ts'
import { checkServiceName } from '../topology/names.ts'
import type { Handler } from './handlers.ts'
import { HOOK_NAMES, type Hooks } from './hooks.ts'
import { Registry } from './registry.ts'
import { runUntilStopped } from './run.ts'
import {
  resolveSettings,
  SETTING_NAMES,
  START_NAMES,
  type ServiceSettings,
  type StartOptions,
  stderrLevelOf,
} from './settings.ts'
import type { RunningService } from './running-service.ts'
import { Worker } from './worker.ts'

/** What a service is: its name, its handlers and hooks, and its settings. */
export interface ServiceOptions extends ServiceSettings {
  /** The logical service: all workers of that name share its queues and the load. */
  readonly name: string
  /** What it does; its subscriptions follow from them. @default none: it only publishes */
  readonly handlers?: readonly Handler[]
  /** What it does at the turns of its life. @default none */
  readonly hooks?: Hooks
}

/** A service that can be started, any number of times: each start is a worker of its own. */
export interface ServiceDefinition {
  /** The logical service. */
  readonly name: string
  /**
   * Starts a worker in this process, for embedding: installs no signal handlers and never ends the process.
   * @returns resolves once the worker consumes (or waits for its configuration); the broker may take its time to appear
   * @throws InvalidSettingError; TopologyError when the broker has an exchange or queue of other arguments, or refuses to declare it;
   * StoppedError when `signal` aborts before; what a hook throws before
   */
  readonly start: (options?: StartOptions) => Promise<RunningService>
  /**
   * Runs a worker as the program: stops on SIGTERM, SIGINT and SIGHUP (a second signal ends the process at once), and
   * sets the exit code: 0 after a signal, 1 after a failure, 78 when a setting or the broker's topology is wrong. Handlers
   * that did not end within `drainTimeoutMs` do not keep the process alive.
   * @returns resolves when the worker has stopped; never rejects
   */
  readonly run: (options?: StartOptions) => Promise<void>
}

/**
 * Describes a service.
 * @throws InvalidSettingError when the name, a handler, a hook or a setting cannot work, or two handlers are for one key
 */
export function defineService(options: ServiceOptions): ServiceDefinition {
  checkServiceOptions(options)
  const { name, handlers = [], hooks = {}, ...settings } = options
  const registry = new Registry(name, handlers)
  // wrong settings show here, where they are written, and not at the start
  resolveSettings({ ...settings, urls: ['amqp://localhost'] })
  const createWorker = (given: StartOptions): Worker => {
    return new Worker({ service: name, registry, hooks, settings: resolveSettings({ ...settings, ...present(given) }) })
  }
  return Object.freeze({
    name,
    start: async (given: StartOptions = {}) => {
      const worker = createWorker(given)
      await worker.started
      return runningService(name, worker)
    },
    run: (given: StartOptions = {}) =>
      runUntilStopped(name, () =>
        createWorker({ ...present(given), stderrLevel: stderrLevelOf(given.stderrLevel, 'INFO') }),
      ),
  })
}

/** The options without those that are undefined, which override nothing. */
function present(options: StartOptions): StartOptions {
  checkOptions('options', options, [...START_NAMES, ...SETTING_NAMES])
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

/** @throws InvalidSettingError that says what is wrong where it was written */
function checkServiceOptions(options: ServiceOptions): void {
  for (const name of START_NAMES) {
    if (Object.hasOwn(Object(options), name)) throw new InvalidSettingError(name, 'is given to start() or run()')
  }
  checkOptions('service', options, ['name', 'handlers', 'hooks', ...SETTING_NAMES])
  const { name, handlers = [], hooks = {} } = options
  checkServiceName(name)
  checkList('handlers', handlers)
  checkOptions('hooks', hooks, HOOK_NAMES)
  for (const [hook, run] of Object.entries(hooks)) if (run !== undefined) checkFunction(`hook ${hook}`, run)
}

/** The worker as its user sees it. */
function runningService(service: string, worker: Worker): RunningService {
  const stop = (): Promise<void> => worker.stop()
  return {
    service,
    ...worker.bus,
    health: () => worker.health(),
    stop,
    stopped: worker.stopped,
    get state() {
      return worker.state
    },
    get pendingPublishes() {
      return worker.pendingPublishes
    },
    get failure() {
      return worker.failure
    },
    [Symbol.asyncDispose]: stop,
  }
}
