/** Publishing, logging and timers as users see them, bound to one cause (a message being handled) or to none. */
import type { CommandContract, ConfigurationContract, EventContract } from '../contracts/contract.ts'
import type { Log } from '../log/logger.ts'
import type { Bus, PublishOptions, SendCommandOptions } from './contexts.ts'
import type { Cause, Messenger } from './messenger.ts'
import type { Timers } from './timers.ts'

export function publishOf(messenger: Messenger, cause?: Cause): Bus['publish'] {
  return (event: EventContract | string, payload: unknown, options?: PublishOptions) =>
    messenger.event(event, payload, options, cause)
}

export function publishConfigurationOf(messenger: Messenger, cause?: Cause): Bus['publishConfiguration'] {
  return (configuration: ConfigurationContract | string, payload: unknown, options?: PublishOptions) =>
    messenger.configuration(configuration, payload, options, cause)
}

export function sendCommandOf(messenger: Messenger, cause?: Cause): Bus['sendCommand'] {
  return (command: CommandContract | string, payload: unknown, options?: SendCommandOptions) =>
    messenger.command(command, payload, options, cause)
}

/** Everything that belongs to no incoming message. */
export function busOf(messenger: Messenger, log: Log, timers: Timers): Bus {
  return {
    publish: publishOf(messenger),
    publishConfiguration: publishConfigurationOf(messenger),
    sendCommand: sendCommandOf(messenger),
    log,
    callLater: timers.callLater,
    every: timers.every,
  }
}
