/**
 * What a service sends: payloads validated and encoded, envelopes filled in, in the conversation that they belong to.
 *
 * Every message gets an id (UUIDv7, kept over resends), a timestamp and the name of the service; one that is a reaction
 * gets the conversation of its cause and the cause's id.
 */

import {
  checkCommandName,
  type CommandContract,
  type ConfigurationContract,
  type EventContract,
  type Schema,
} from '../contracts/contract.ts'
import { check } from '../contracts/validate.ts'
import { InvalidSettingError, PayloadEncodeError } from '../errors.ts'
import { checkBoolean, checkOptions, checkWholeMs, describe } from '../options.ts'
import { checkRoutingKey, checkShortString, EXCHANGES } from '../topology/names.ts'
import { headerBytes, MAX_HEADER_BYTES } from '../transport/publish-frames.ts'
import type { Publisher } from '../transport/publisher.ts'
import type { CommandEnvelope, ResultStatus } from '../wire/envelope.ts'
import { newId } from '../wire/ids.ts'
import type { Headers, OutgoingMessage, OutgoingProperties } from '../wire/message.ts'
import { contentTypeOf, encodePayload } from '../wire/payload.ts'
import type { PublishOptions, SendCommandOptions, SentCommand } from './contexts.ts'
import type { Delivery } from './delivery.ts'
import { defaultReplyTo } from './handlers.ts'
import type { Settings } from './settings.ts'

/** The message that a publish is a reaction to. */
export interface Cause {
  readonly delivery: Delivery
  readonly conversationId: string
  readonly messageId: string | undefined
}

interface DraftFields {
  readonly routingKey: string
  readonly schema: Schema | undefined
  readonly payload: unknown
  readonly options: PublishOptions
  /** How errors name the payload. */
  readonly subject?: string
}
type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type Draft =
  | (DraftFields & { readonly kind: 'event' | 'configuration' })
  | (DraftFields & {
      readonly kind: 'command'
      readonly ids: SentCommand
      readonly replyTo: string | undefined
    })
  | (DraftFields & { readonly kind: 'result'; readonly status: ResultStatus; readonly correlationId: string })

const EXCHANGE_OF = {
  event: EXCHANGES.event,
  configuration: EXCHANGES.configuration,
  command: EXCHANGES.command,
  result: EXCHANGES.command,
} as const

const NO_OPTIONS: PublishOptions = {}
/** What the broker takes. */
const LONGEST_EXPIRATION_MS = 4_294_967_295
const PUBLISH_OPTIONS = ['conversationId', 'headers', 'mandatory', 'expirationMs']
const COMMAND_OPTIONS = [...PUBLISH_OPTIONS, 'replyTo', 'correlationId']
const KEPT_HEADERS = new Set(['conversation_id', 'causation_id', 'status'])
/** Leaves room for the envelope's own headers. */
const MAX_OWN_HEADER_BYTES = MAX_HEADER_BYTES / 2

export class Messenger {
  readonly #service: string
  readonly #settings: Pick<Settings, 'format' | 'maxPayloadBytes'>
  readonly #publisher: Pick<Publisher, 'publish'>

  constructor(
    service: string,
    settings: Pick<Settings, 'format' | 'maxPayloadBytes'>,
    publisher: Pick<Publisher, 'publish'>,
  ) {
    this.#service = service
    this.#settings = settings
    this.#publisher = publisher
  }

  event(
    event: EventContract | string,
    payload: unknown,
    options: PublishOptions = NO_OPTIONS,
    cause?: Cause,
  ): Promise<void> {
    const { routingKey, schema } = nameAndSchema(event)
    return this.#send({ kind: 'event', routingKey, schema, payload, options }, cause).sent
  }

  configuration(
    configuration: ConfigurationContract | string,
    payload: unknown,
    options: PublishOptions = NO_OPTIONS,
    cause?: Cause,
  ): Promise<void> {
    // a configuration belongs to no conversation, unless its publisher says so
    const own = { conversationId: '', ...options }
    return this.#send({ kind: 'configuration', ...nameAndSchema(configuration), payload, options: own }, cause).sent
  }

  command(
    command: CommandContract | string,
    payload: unknown,
    options: SendCommandOptions = NO_OPTIONS,
    cause?: Cause,
  ): Promise<SentCommand> {
    const { replyTo, correlationId = newId() } = options ?? NO_OPTIONS
    const ids = { correlationId, messageId: newId() }
    const draft = { kind: 'command', ...nameAndSchema(command), payload, options, ids, replyTo } as const
    const { sent, isAccountedFor } = this.#send(draft, cause)
    const outcome = sent.then(() => ids)
    if (isAccountedFor) outcome.catch(() => {})
    return outcome
  }

  /**
   * What {@link event} or {@link configuration} would send, for whoever sends it by itself.
   * @throws what they reject with before anything is sent; InvalidSettingError for a schema that works asynchronously
   */
  compose(
    kind: 'event' | 'configuration',
    contract: EventContract | ConfigurationContract | string,
    payload: unknown,
    options: PublishOptions = NO_OPTIONS,
  ): OutgoingMessage {
    const own = kind === 'configuration' ? { conversationId: '', ...options } : options
    const draft: Draft = { kind, ...nameAndSchema(contract), payload, options: own }
    checkDraft(draft)
    const checking = check(draft.schema, payload, `payload of '${draft.routingKey}'`)
    if (checking !== undefined) {
      checking.catch(() => {})
      throw new InvalidSettingError(
        'schema',
        `of '${draft.routingKey}' works asynchronously, and nothing here can wait for it: take an Endpoint, or a schema that is synchronous`,
      )
    }
    return this.#messageOf(draft, undefined)
  }

  /** Answers a command. */
  result(
    command: CommandEnvelope,
    status: ResultStatus,
    payload: unknown,
    schema: Schema | undefined,
    cause: Cause,
  ): Promise<void> {
    const { replyTo: routingKey, correlationId } = command
    const subject = `${status === 'success' ? 'result' : 'error result'} of command '${command.routingKey}'`
    const draft = {
      kind: 'result',
      routingKey,
      schema,
      payload,
      options: NO_OPTIONS,
      status,
      correlationId,
      subject,
    } as const
    return this.#send(draft, cause).sent
  }

  /**
   * Nobody has to await what is accounted for: a failure has been logged, or holds back the incoming message that it was
   * published for. What cannot be sent as it is, outside of handlers, rejects like any other promise.
   */
  #send(draft: Draft, cause: Cause | undefined): { sent: Promise<void>; isAccountedFor: boolean } {
    // what a handler goes on publishing after its message was settled stands alone: nothing would make it again
    const owner = cause !== undefined && (cause.delivery.isOpen || cause.delivery.isLost) ? cause.delivery : undefined
    let sent: Promise<void>
    let accepted = true
    try {
      sent = this.#checkAndPublish(draft, cause, owner)
    } catch (error) {
      accepted = false
      sent = Promise.reject(error)
    }
    owner?.track(sent)
    return { sent, isAccountedFor: accepted || owner !== undefined }
  }

  /** Messages go out in the order of the calls, but for those whose schema works asynchronously. */
  #checkAndPublish(draft: Draft, cause: Cause | undefined, owner: Delivery | undefined): Promise<void> {
    checkDraft(draft)
    const checked = check(draft.schema, draft.payload, draft.subject ?? `payload of '${draft.routingKey}'`)
    if (checked === undefined) return this.#publisher.publish(this.#messageOf(draft, cause), owner)
    const sent: Promise<void> = checked.then(() => {
      const message = this.#messageOf(draft, cause)
      // from here on it is accounted for like any other message
      sent.catch(() => {})
      return this.#publisher.publish(message, owner)
    })
    return sent
  }

  #messageOf(draft: Draft, cause: Cause | undefined): OutgoingMessage {
    const { kind, routingKey, options } = draft
    const { maxPayloadBytes, format } = this.#settings
    const body = encodePayload(draft.payload, format)
    if (body.byteLength > maxPayloadBytes) {
      throw new PayloadEncodeError(
        `payload of '${routingKey}' is ${body.byteLength} bytes; maxPayloadBytes allows ${maxPayloadBytes}: send it in parts, or raise that`,
      )
    }
    const properties: Mutable<OutgoingProperties> = {
      persistent: true,
      contentType: contentTypeOf(format),
      headers: headersOf(draft, cause),
      messageId: kind === 'command' ? draft.ids.messageId : newId(),
      timestamp: Math.floor(Date.now() / 1000),
      appId: this.#service,
    }
    if (kind === 'command') {
      properties.replyTo = this.#replyKey(draft)
      properties.correlationId = draft.ids.correlationId
    }
    if (kind === 'result' && draft.correlationId !== '') properties.correlationId = draft.correlationId
    if (options.expirationMs !== undefined) properties.expiration = String(options.expirationMs)
    const mandatory = options.mandatory ?? (kind === 'command' || kind === 'result')
    return { exchange: EXCHANGE_OF[kind], routingKey, mandatory, body, properties }
  }

  /** The full routing key that the result of a command goes to: a single word is one of this service's own. */
  #replyKey({ replyTo, routingKey }: { replyTo: string | undefined; routingKey: string }): string {
    const key = replyTo ?? defaultReplyTo(routingKey)
    return key.includes('.') ? key : `${this.#service}.${key}`
  }
}

function headersOf(draft: Draft, cause: Cause | undefined): Headers {
  const { options } = draft
  const headers: Mutable<Headers> = options.headers === undefined ? {} : { ...options.headers }
  headers['conversation_id'] = options.conversationId ?? cause?.conversationId ?? newId()
  if (cause?.messageId !== undefined) headers['causation_id'] = cause.messageId
  if (draft.kind === 'result') headers['status'] = draft.status
  return headers
}

function nameAndSchema(contract: { name: string; payload: Schema | undefined } | string): {
  routingKey: string
  schema: Schema | undefined
} {
  // what is neither a contract nor a name is refused as a routing key, with a message that says so
  if (typeof contract !== 'object' || contract === null) return { routingKey: contract, schema: undefined }
  return { routingKey: contract.name, schema: contract.payload }
}

/** @throws InvalidSettingError that names the option */
function checkDraft(draft: Draft): void {
  checkOptions('publish options', draft.options, draft.kind === 'command' ? COMMAND_OPTIONS : PUBLISH_OPTIONS)
  const { headers, conversationId, expirationMs, mandatory } = draft.options
  if (mandatory !== undefined) checkBoolean('mandatory', mandatory)
  // a result goes where its command said, whatever that is
  if (draft.kind === 'event' || draft.kind === 'configuration') checkRoutingKey('routing key', draft.routingKey)
  if (draft.kind === 'command') {
    checkCommandName(draft.routingKey)
    checkShortString('correlationId', draft.ids.correlationId)
    if (draft.replyTo !== undefined) checkRoutingKey('replyTo', draft.replyTo)
  }
  if (conversationId !== undefined) checkConversationId(conversationId)
  if (expirationMs !== undefined) checkWholeMs('expirationMs', expirationMs, 0, LONGEST_EXPIRATION_MS)
  if (headers !== undefined) checkHeaders(headers)
}

function checkHeaders(headers: Headers): void {
  const prototype: unknown = Object.getPrototypeOf(Object(headers))
  if (typeof headers !== 'object' || headers === null || (prototype !== Object.prototype && prototype !== null))
    throw new InvalidSettingError('headers', `must be a plain object, not ${describe(headers)}`)
  let bytes = 0
  for (const [name, value] of Object.entries(headers)) {
    if (KEPT_HEADERS.has(name)) throw new InvalidSettingError('headers', `'${name}' is set by the toolkit; remove it`)
    checkShortString('header name', name)
    try {
      bytes += headerBytes({ [name]: value })
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error)
      throw new InvalidSettingError('headers', `'${name}' cannot be sent: ${problem}`, { cause: error })
    }
  }
  if (bytes > MAX_OWN_HEADER_BYTES) {
    throw new InvalidSettingError(
      'headers',
      `take ${bytes} bytes; at most ${MAX_OWN_HEADER_BYTES} are allowed: put large data in the payload`,
    )
  }
}

/** It is a header, and as long as one may be: peers may have long ones. */
function checkConversationId(id: unknown): void {
  if (typeof id !== 'string' || !id.isWellFormed())
    throw new InvalidSettingError('conversationId', `must be a text, not ${describe(id)}`)
  const bytes = Buffer.byteLength(id)
  if (bytes > MAX_OWN_HEADER_BYTES)
    throw new InvalidSettingError(
      'conversationId',
      `is ${bytes} bytes long; ${MAX_OWN_HEADER_BYTES} are allowed: take a shorter one`,
    )
}
