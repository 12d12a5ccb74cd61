/**
 * Every error class of the toolkit, each with one constant `code`.
 *
 * A message names the thing, the problem and the mend; the cause is kept. No message carries a password: broker URLs
 * are redacted before they get here.
 */

/** The base of all errors thrown by the toolkit. `code` never changes between versions. */
export abstract class EventailError extends Error {
  /** Tells the kind of error, as in `UNROUTABLE`; one for each class, as docs/errors.md lists them. */
  abstract readonly code: string

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** A setting, a name, a pattern or an option given to the toolkit cannot work. Thrown before anything is sent. */
export class InvalidSettingError extends EventailError {
  readonly code = 'INVALID_SETTING'
  /** The setting, as it is written in code. */
  readonly setting: string

  constructor(setting: string, problem: string, options?: ErrorOptions) {
    super(`${setting}: ${problem}`, options)
    this.setting = setting
  }
}

/** A value cannot be sent as a payload, or is larger than `maxPayloadBytes`: the message says what and why. Nothing was sent. */
export class PayloadEncodeError extends EventailError {
  readonly code = 'PAYLOAD_ENCODE'
}

/** The body of a message is not a payload of the format that its content type names. */
export class PayloadDecodeError extends EventailError {
  readonly code = 'PAYLOAD_DECODE'
}

/** One problem that a schema found. */
export interface ContractIssue {
  /** Where, as in `items[3].price`; empty for the payload itself. */
  readonly path: string
  /** What the schema says of it. */
  readonly message: string
}

/**
 * A payload does not fit the schema of its contract. On the way out it is thrown before anything is sent; on the way in
 * the message is dead-lettered at once and the issues are logged.
 */
export class ContractError extends EventailError {
  readonly code = 'CONTRACT'
  /** Everything that the schema found. */
  readonly issues: readonly ContractIssue[]

  constructor(subject: string, issues: readonly ContractIssue[]) {
    const list = issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ')
    super(`${subject} does not fit its contract: ${list}`)
    this.issues = issues
  }
}

/**
 * The documented error outcome of a command: throw it from a command handler, and the caller gets a result with status
 * `error` and this payload. It is an answer, not a failure: the command is acknowledged. A call of an endpoint rejects with it.
 */
export class CommandError<E = unknown> extends EventailError {
  readonly code = 'COMMAND_ERROR'
  /** As it was given; where a call of an endpoint rejects, the payload of the error result. */
  readonly payload: E

  /**
   * @param payload what the caller receives; a string arrives as `{ reason: string }`
   */
  constructor(payload: E, options?: ErrorOptions) {
    super(typeof payload === 'string' ? payload : 'the command answered with an error result', options)
    this.payload = payload
  }
}

/**
 * Throw it from a handler when trying again cannot help: the message becomes a dead letter at once. For a command, unlike
 * CommandError, it is a failure, and there is no result.
 */
export class PermanentError extends EventailError {
  readonly code = 'PERMANENT'
}

/** A handler did not end within its time: it has failed, and whatever it still does or publishes means nothing any more. */
export class HandlerTimeoutError extends EventailError {
  readonly code = 'HANDLER_TIMEOUT'
  /** Of the message that was handled. */
  readonly routingKey: string

  constructor(routingKey: string, timeoutMs: number) {
    super(
      `the handler of '${routingKey}' did not end within ${timeoutMs} ms; raise handlerTimeoutMs if it may take longer`,
    )
    this.routingKey = routingKey
  }
}

/** The delivery breaks the wire protocol. Redelivery cannot help: it is dead-lettered at once. */
export class InvalidMessageError extends EventailError {
  readonly code = 'INVALID_MESSAGE'
  /** Of the message that came in. */
  readonly routingKey: string

  constructor(routingKey: string, problem: string, options?: ErrorOptions) {
    super(`message '${routingKey}' is not valid: ${problem}`, options)
    this.routingKey = routingKey
  }
}

/** No handler was registered for a message that the broker delivered: dead-lettered at once. */
export class NoHandlerError extends EventailError {
  readonly code = 'NO_HANDLER'
  /** Of the message that came in. */
  readonly routingKey: string

  constructor(kind: string, routingKey: string, mend = 'check your subscriptions!') {
    super(`unexpected ${kind} ${routingKey}; ${mend}`)
    this.routingKey = routingKey
  }
}

/** The broker cannot be reached, or the connection to it broke. */
export class ConnectionError extends EventailError {
  /** `CONNECTION`, or that of the class below. */
  readonly code: string = 'CONNECTION'
}

/** The broker refused the user, the password or the virtual host. */
export class AccessRefusedError extends ConnectionError {
  override readonly code = 'ACCESS_REFUSED'
}

/** The broker refused a declaration: an exchange or a queue exists with other arguments, or permission is missing. */
export class TopologyError extends EventailError {
  readonly code = 'TOPOLOGY'
}

/** The broker's management API does not answer, or refuses the user. */
export class ManagementError extends EventailError {
  readonly code = 'MANAGEMENT'
}

/** The temporary store cannot be reached in time, refuses a command, was closed, or lacks its package. */
export class StoreError extends EventailError {
  /** `STORE`, or that of the class below. */
  readonly code: string = 'STORE'
}

/** Somebody else is creating the value, and takes longer than was to be waited for. */
export class StoreBusyError extends StoreError {
  override readonly code = 'STORE_BUSY'

  constructor(key: string, waitedMs: number) {
    super(`'${key}' is still being created by somebody else after ${waitedMs} ms: try again later, or raise waitMs`)
  }
}

/** Base of the outcomes of a publish that was not confirmed (or that reached no queue although it had to). */
export abstract class PublishError extends EventailError {
  /** Where it was published. */
  readonly exchange: string
  /** Of the message. */
  readonly routingKey: string
  /** What became of the message, as the second half of a sentence. */
  readonly problem: string

  constructor(exchange: string, routingKey: string, problem: string, options?: ErrorOptions) {
    super(`message '${routingKey}' on exchange '${exchange}' ${problem}`, options)
    this.exchange = exchange
    this.routingKey = routingKey
    this.problem = problem
  }
}

/** A mandatory message came back: no queue is bound for its routing key. */
export class UnroutableError extends PublishError {
  readonly code = 'UNROUTABLE'
}

/** The broker closed the channel because of this message (no permission, too large), or it cannot be written as AMQP. */
export class PublishRefusedError extends PublishError {
  readonly code = 'PUBLISH_REFUSED'
}

/** Too much is waiting to be sent: await publishes, or raise the limit. Nothing was sent. */
export class PublishBufferFullError extends PublishError {
  readonly code = 'PUBLISH_BUFFER_FULL'
}

/** The broker blocked publishers for longer than `blockedTimeoutMs`. It may have the message or not. */
export class BlockedTimeoutError extends PublishError {
  readonly code = 'BLOCKED_TIMEOUT'
}

/** A blocking publish was not confirmed within its time limit. The broker may have the message or not. */
export class PublishTimeoutError extends PublishError {
  readonly code = 'PUBLISH_TIMEOUT'
}

/** A command that was called got no result in time. It may have been handled, or be handled later. */
export class CallTimeoutError extends EventailError {
  readonly code = 'CALL_TIMEOUT'
  /** The routing key of the command. */
  readonly command: string

  constructor(command: string, timeoutMs: number, isSent: boolean) {
    const why = isSent
      ? 'a queue took it, and nobody has answered yet; one that died gets no answer (see the logs, and the dead letters)'
      : 'the broker has not even taken it, and may do so later'
    super(`no result of command '${command}' within ${timeoutMs} ms; ${why}`)
    this.command = command
  }
}

/**
 * The connection was lost before the incoming message was settled. The broker delivers that message again and its
 * handler publishes again, so what the lost handler published is dropped.
 */
export class DeliveryLostError extends EventailError {
  readonly code = 'DELIVERY_LOST'
}

/** A bus of tests did not come to rest in time: the message names what is still going on. */
export class NotSettledError extends EventailError {
  readonly code = 'NOT_SETTLED'
  /** What is still going on, a line each. */
  readonly busy: readonly string[]
  /** Of the bus: with it the same faults come again. */
  readonly seed: number

  constructor(timeoutMs: number, seed: number, busy: readonly string[]) {
    super(
      `not settled after ${timeoutMs} ms (EVENTAIL_TEST_SEED=${seed}):${busy.map((line) => `\n- ${line}`).join('')}`,
    )
    this.busy = busy
    this.seed = seed
  }
}

/** The service was stopped, or the endpoint closed, before this could be done. */
export class StoppedError extends EventailError {
  readonly code = 'STOPPED'
}
