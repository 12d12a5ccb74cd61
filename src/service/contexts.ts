/** What handlers and hooks are given. Everything may be destructured: nothing here depends on `this`. */
import type {
  CommandContract,
  ConfigurationContract,
  EventContract,
  InputOf,
  OptionalSchema,
} from '../contracts/contract.ts'
import type { Log } from '../log/logger.ts'
import type { Metadata, ResultStatus } from '../wire/envelope.ts'
import type { Headers } from '../wire/message.ts'

/** How a message is published. */
export interface PublishOptions {
  /**
   * The conversation that the message belongs to.
   * @default the conversation of the message being handled; outside a handler, a new one
   */
  readonly conversationId?: string
  /** More headers. `conversation_id`, `status` and `causation_id` are set by the toolkit. */
  readonly headers?: Headers
  /** Whether it is an error that no queue takes the message. @default false for events and configurations, true for others */
  readonly mandatory?: boolean
  /** How long the message may wait in a queue, in milliseconds, before the broker drops it (or dead-letters it). */
  readonly expirationMs?: number
}

/** How a command is sent. */
export interface SendCommandOptions extends PublishOptions {
  /**
   * Where the result goes: a routing key that this service handles with `onResult`. A single word gets the service's
   * own name in front.
   * @default the command's last word with `Result` behind it: `CheckPrimeResult` for `prime.CheckPrime`
   */
  readonly replyTo?: string
  /** Comes back with the result. @default a new UUID */
  readonly correlationId?: string
}

/** What identifies a command that was sent. */
export interface SentCommand {
  /** Comes back with the result. */
  readonly correlationId: string
  /** Of the command itself; what it causes has it as `causationId`. */
  readonly messageId: string
}

/**
 * Publishes an event; resolves once the broker has confirmed it. A handler one of whose publishes failed has failed, also
 * when it catches the error: its message is not acknowledged, since something that it published is not on the bus. Only an
 * UnroutableError may be caught.
 * @throws ContractError, PayloadEncodeError or InvalidSettingError before anything is sent; PublishError or StoppedError
 * afterwards; in a handler also DeliveryLostError and HandlerTimeoutError, from an endpoint ConnectionError after `maxRetries`
 */
export interface Publish {
  /** By name: the payload is sent as it is. */
  (event: string, payload: unknown, options?: PublishOptions): Promise<void>
  /** By contract: the payload has to fit its schema. */
  // last, because compilers tell what is wrong with the last of several
  <S extends OptionalSchema>(event: EventContract<S>, payload: InputOf<S>, options?: PublishOptions): Promise<void>
}

/**
 * Publishes a configuration, in no conversation unless one is given; resolves once the broker has confirmed it.
 * @throws like {@link Publish}
 */
export interface PublishConfiguration {
  /** By name: the payload is sent as it is. */
  (configuration: string, payload: unknown, options?: PublishOptions): Promise<void>
  /** By contract: the payload has to fit its schema. */
  <S extends OptionalSchema>(
    configuration: ConfigurationContract<S>,
    payload: InputOf<S>,
    options?: PublishOptions,
  ): Promise<void>
}

/**
 * Sends a command; resolves once the broker has confirmed it. The result comes to the `onResult` handler, and not here.
 * @throws like {@link Publish}; UnroutableError when no service takes such commands
 */
export interface SendCommand {
  /** By name, `logical_service.VerbObject`: the payload is sent as it is. */
  (command: string, payload: unknown, options?: SendCommandOptions): Promise<SentCommand>
  /** By contract: the payload has to fit its schema. */
  <P extends OptionalSchema>(
    command: CommandContract<P>,
    payload: InputOf<P>,
    options?: SendCommandOptions,
  ): Promise<SentCommand>
}

/** Cancels a timer; harmless when it has run already. */
export type CancelTimer = () => void

/** Publishing, logging and timers: what every context offers. */
export interface Bus {
  /** Publishes an event. */
  readonly publish: Publish
  /** Publishes a configuration. */
  readonly publishConfiguration: PublishConfiguration
  /** Sends a command. */
  readonly sendCommand: SendCommand
  /** Writes log records, in the conversation of the message, if there is one. */
  readonly log: Log
  /**
   * Calls back once, after `delayMs` milliseconds (0 to 2_147_483_647), unless the worker stops before. Errors are logged as ALERT,
   * but for those that are told elsewhere: unroutable, stopped, connection lost.
   * @throws InvalidSettingError for another time
   */
  readonly callLater: (delayMs: number, callback: () => unknown) => CancelTimer
  /**
   * Calls back every `intervalMs` milliseconds (1 to 2_147_483_647), never while the last call is still running. Errors as with
   * `callLater`; it goes on after them.
   * @throws InvalidSettingError for another time
   */
  readonly every: (intervalMs: number, callback: () => unknown) => CancelTimer
}

/** What hooks are given. */
export interface ServiceContext extends Bus {
  /** The logical service. */
  readonly service: string
  /** Aborts when the drain time of a stop is over; in `onReady` and `onUnconfigured` when the connection ends. */
  readonly signal: AbortSignal
}

/** Which messages an acknowledgement is for. */
export interface AckOptions {
  /** Also all earlier ones of this worker that their handlers left to settle later. @default false */
  readonly multiple?: boolean
}

/** Where messages that are given back go. */
export interface NackOptions extends AckOptions {
  /** Back to the queue (true), or to the dead letters (false). @default false */
  readonly requeue?: boolean
}

/** What every handler is given. Destructure it, or pass it on as it is; a copy made by spreading lacks its functions. */
export interface MessageContext<P = unknown> extends ServiceContext {
  /** The payload: with a schema, what that makes of it. */
  readonly payload: P
  /** The last word of the routing key of a command or result; the routing key of an event or configuration. */
  readonly name: string
  /** All of it, as in `voxo.TranscribeAudio`. */
  readonly routingKey: string
  /** What the handler publishes is in it, too. Empty for a configuration that has none: what it publishes then begins a new one. */
  readonly conversationId: string
  /** The same however often the message is delivered or sent; undefined for messages of peers in Python. */
  readonly messageId: string | undefined
  /** Headers beyond `conversation_id` and `status`; the same as `metadata.headers`. */
  readonly headers: Readonly<Record<string, unknown>>
  /** What else came along. */
  readonly metadata: Metadata
  /**
   * Acknowledges the message, once the broker has confirmed what was published for it. Only needed after
   * {@link SETTLE_LATER}; does nothing on a message that is settled or lost.
   * @throws what one of these publishes was rejected with (but for UnroutableError); the message has failed then
   */
  readonly ack: (options?: AckOptions) => Promise<void>
  /** Gives the message back to the broker, at once. Does nothing on a message that is settled or lost; never rejects. */
  readonly nack: (options?: NackOptions) => Promise<void>
  /** Aborts when the result of the handler no longer counts: its time is up, connection lost, or the drain time of a stop is over. */
  readonly signal: AbortSignal
}

/** What event handlers are given. */
export type EventContext<P = unknown> = MessageContext<P>
/** What configuration handlers are given. */
export type ConfigurationContext<P = unknown> = MessageContext<P>

/** What command handlers are given: `P` is the payload, `R` the payload of a result, `E` that of an error result. */
export interface CommandContext<P = unknown, R = unknown, E = unknown> extends MessageContext<P> {
  /** Goes back with the result. */
  readonly correlationId: string
  /** The routing key of the result. */
  readonly replyTo: string
  /**
   * Sends the result now, and acknowledges nothing. Only needed after {@link SETTLE_LATER}: otherwise what the handler returns is the
   * result.
   * @throws like {@link Publish}; InvalidSettingError when there was a result before; UnroutableError when the caller is gone
   */
  readonly success: (payload: R) => Promise<void>
  /** Sends an error result now; else as `success`. Only needed after {@link SETTLE_LATER}: otherwise throw a CommandError. */
  readonly error: (payload: E) => Promise<void>
}

interface ResultFields {
  /** That of the command, as `sendCommand` resolved with it. */
  readonly correlationId: string
}
/** What result handlers are given; `status` tells which payload it is. */
export type ResultContext<R = unknown, E = unknown> =
  | (MessageContext<R> & ResultFields & { readonly status: Extract<ResultStatus, 'success'> })
  | (MessageContext<E> & ResultFields & { readonly status: Extract<ResultStatus, 'error'> })

/** A message of ours that no queue took. */
export interface ReturnedMessage {
  /** Where it was published: `events`, `commands` or `configurations`. */
  readonly exchange: string
  readonly routingKey: string
  /** As a receiver would have decoded it. */
  readonly payload: unknown
  readonly conversationId: string
  readonly messageId: string | undefined
  /** Of a command: where its result would have gone. */
  readonly replyTo: string | undefined
  /** Of commands and results. */
  readonly correlationId: string | undefined
  /** All headers but `conversation_id`; those with a `status` are results. */
  readonly headers: Headers
}

/**
 * Returned by a handler that takes charge of its message: nothing is acknowledged or answered until it calls `ack()` or
 * `nack()` (and, for a command, `success()` or `error()` before that).
 */
export const SETTLE_LATER: SettleLater = Object.freeze({ settle: 'later' })
/** The type of {@link SETTLE_LATER}, which is told by identity. */
export interface SettleLater {
  /** Only for people who look at it. */
  readonly settle: 'later'
}
