/**
 * The errors of AMQP: one that ends a channel, one that ends the connection. Their texts are those of RabbitMQ, word for word, since
 * clients show and match them. Source: AMQP 0-9-1, section 1.2, and the texts of RabbitMQ 3.10.
 */

import type { MethodWriter } from './writer.ts'

const NAMES: ReadonlyMap<number, string> = new Map([
  [311, 'CONTENT_TOO_LARGE'],
  [320, 'CONNECTION_FORCED'],
  [403, 'ACCESS_REFUSED'],
  [404, 'NOT_FOUND'],
  [405, 'RESOURCE_LOCKED'],
  [406, 'PRECONDITION_FAILED'],
  [501, 'FRAME_ERROR'],
  [502, 'SYNTAX_ERROR'],
  [503, 'COMMAND_INVALID'],
  [504, 'CHANNEL_ERROR'],
  [505, 'UNEXPECTED_FRAME'],
  [530, 'NOT_ALLOWED'],
  [540, 'NOT_IMPLEMENTED'],
  [541, 'INTERNAL_ERROR'],
])

/** What a client did wrong. */
export class AmqpException extends Error {
  readonly code: number
  /** Whether it ends the connection, or only the channel. */
  readonly endsConnection: boolean
  /** The key of the method that is to blame; 0 for none. */
  method: number | undefined

  /** @param text none where RabbitMQ says the name alone */
  constructor(code: number, text?: string, method?: number) {
    const name = NAMES.get(code) ?? 'ERROR'
    super(text === undefined ? name : `${name} - ${text}`)
    this.name = 'AmqpException'
    this.code = code
    this.endsConnection = code === 320 || code >= 500
    this.method = method
  }

  /** As connection.close and channel.close say it. */
  writtenTo(close: MethodWriter): MethodWriter {
    const bytes = Buffer.from(this.message, 'latin1')
    const text = bytes.length <= 255 ? this.message : `${bytes.toString('latin1', 0, 252)}...`
    return close
      .uint16(this.code)
      .shortString(text)
      .uint32(this.method ?? 0)
  }
}

/** What ends the connection without a word. */
export class SilentEnd extends Error {
  constructor() {
    super('the connection ends')
    this.name = 'SilentEnd'
  }
}

/** Does what a method asks for; where that goes wrong and nobody is to blame yet, it is the method. */
export function blaming<T>(method: number, act: () => T): T {
  try {
    return act()
  } catch (error) {
    if (error instanceof AmqpException) error.method ??= method
    throw error
  }
}

/** 541, for properties that cannot be read. */
export function unreadable(): AmqpException {
  return new AmqpException(541, undefined, 0)
}

/** As RabbitMQ names a queue or an exchange in its texts. */
export function named(kind: 'queue' | 'exchange', name: string, vhost: string): string {
  return `${kind} '${name}' in vhost '${vhost}'`
}

/** 404, for a queue or an exchange that is not there. */
export function notFound(kind: 'queue' | 'exchange', name: string, vhost: string): AmqpException {
  return new AmqpException(404, `no ${named(kind, name, vhost)}`)
}

/** 540, for what RabbitMQ can and this broker cannot. */
export function notImplemented(what: string): AmqpException {
  return new AmqpException(540, what)
}
