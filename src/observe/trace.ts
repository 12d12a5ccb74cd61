/**
 * One conversation, put in order as its messages come by: who sent what to whom, in answer to what, and how long it took.
 *
 * Services are told by `app_id`, by the keys of commands and results, and by their logs. Peers that set neither `app_id` nor
 * `causation_id` (those in Python) are found by what the protocol makes them say: whom results go to, whom commands are for.
 */
import { serviceOfQueue } from '../topology/names.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { type Envelope, envelopeOf } from './envelope.ts'

/** A message of the conversation, in its place. */
export interface Step {
  readonly envelope: Envelope
  /** Since the trace saw its first message, in milliseconds. */
  readonly sinceMs: number
  /** Since the message before, in milliseconds. */
  readonly gapMs: number
  /** 0 for what began the conversation; else one more than what it is an answer to. */
  readonly depth: number
  /** The service that sent it; undefined when nothing says so. */
  readonly from: string | undefined
  /** The services that it is for, as far as known; none for a log. */
  readonly to: readonly string[]
}

/** The queues that a message reaches; undefined where nobody can tell. */
export type Receivers = (exchange: string, routingKey: string) => readonly string[] | undefined

/** What is remembered of a conversation that never ends, at most. */
const REMEMBERED = 10_000

export class Trace {
  readonly conversation: string
  readonly #receivers: Receivers
  #first: number | undefined
  #previous = 0
  readonly #byMessageId = new Map<string, Step>()
  readonly #commands = new Map<string, Step>()
  /** The last message that was for a service. */
  readonly #lastFor = new Map<string, Step>()

  constructor(conversation: string, receivers: Receivers = () => undefined) {
    this.conversation = conversation
    this.#receivers = receivers
  }

  /**
   * A message came by.
   * @param nowMs by any clock that only goes forward
   * @returns undefined when it is of another conversation
   */
  add(message: IncomingMessage, nowMs: number): Step | undefined {
    const envelope = envelopeOf(message)
    if (envelope.conversation_id !== this.conversation) return undefined
    this.#first ??= nowMs
    const from = this.#senderOf(envelope, message)
    const cause = this.#causeOf(envelope, from)
    const step: Step = {
      envelope,
      sinceMs: nowMs - this.#first,
      gapMs: this.#previous === 0 ? 0 : nowMs - this.#previous,
      depth: cause === undefined ? 0 : cause.depth + 1,
      from,
      to: this.#receiversOf(envelope, message),
    }
    this.#previous = nowMs
    this.#remember(step)
    return step
  }

  #senderOf({ kind, service, correlation_id: correlation }: Envelope, message: IncomingMessage): string | undefined {
    if (kind === 'log') return service ?? undefined
    const { appId, replyTo } = message.properties
    if (appId !== undefined && appId !== '') return appId
    // the result goes back to whoever sends the command, and comes from whom the command was for
    if (kind === 'command' && replyTo !== undefined) return allButLastWord(replyTo)
    if (kind === 'result' && correlation !== null) return this.#commands.get(correlation)?.to[0]
    return undefined
  }

  #receiversOf({ kind, service, name }: Envelope, { exchange }: IncomingMessage): readonly string[] {
    if (kind === 'log') return []
    if (kind === 'command' || kind === 'result') return service === null ? [] : [service]
    const queues = this.#receivers(exchange, name) ?? []
    return [...new Set(queues.flatMap((queue) => serviceOfQueue(queue) ?? []))]
  }

  #causeOf(envelope: Envelope, from: string | undefined): Step | undefined {
    const { kind, causation_id: causation, correlation_id: correlation } = envelope
    const told = causation === null ? undefined : this.#byMessageId.get(causation)
    if (told !== undefined) return told
    const command = kind === 'result' && correlation !== null ? this.#commands.get(correlation) : undefined
    return command ?? (from === undefined ? undefined : this.#lastFor.get(from))
  }

  #remember(step: Step): void {
    const { kind, message_id: id, correlation_id: correlation } = step.envelope
    if (kind === 'log') return
    if (id !== null) keep(this.#byMessageId, id, step)
    if (kind === 'command' && correlation !== null) keep(this.#commands, correlation, step)
    for (const service of step.to) keep(this.#lastFor, service, step)
  }
}

function keep(steps: Map<string, Step>, key: string, step: Step): void {
  steps.set(key, step)
  const [oldest] = steps.keys()
  if (steps.size > REMEMBERED && oldest !== undefined) steps.delete(oldest)
}

function allButLastWord(key: string): string | undefined {
  const dot = key.lastIndexOf('.')
  return dot > 0 ? key.slice(0, dot) : undefined
}
