/**
 * A message as AMQP carries it, both ways, without any knowledge of the client library: what `transport` sends and
 * delivers and what the envelopes are read from and written to.
 */

/** A value in an AMQP header table. Numbers: integers to 64 bits as integers, others as doubles. */
export type HeaderValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Date
  | Uint8Array
  | readonly HeaderValue[]
  | { readonly [key: string]: HeaderValue }

/** A header table, by name. */
export type Headers = Readonly<Record<string, HeaderValue>>

/** A header table, by name, each value as it travels: its type and its bytes. */
export type RawHeaders = ReadonlyMap<string, Uint8Array>

/** The properties of a message that is sent. Absent means not written. */
export interface OutgoingProperties {
  readonly contentType?: string
  readonly contentEncoding?: string
  readonly headers?: Headers
  /** Written in the place of `headers`: for what has to stay as it is, to the type. */
  readonly rawHeaders?: RawHeaders
  readonly priority?: number
  readonly type?: string
  readonly userId?: string
  /** Whether the broker writes the message to disk (`delivery_mode` 2). */
  readonly persistent: boolean
  readonly correlationId?: string
  readonly replyTo?: string
  /** Milliseconds that the message may wait in a queue, as text. */
  readonly expiration?: string
  readonly messageId?: string
  /** Seconds since the epoch. */
  readonly timestamp?: number
  readonly appId?: string
}

export interface OutgoingMessage {
  readonly exchange: string
  readonly routingKey: string
  /** Whether the broker gives the message back when no queue takes it. */
  readonly mandatory: boolean
  readonly properties: OutgoingProperties
  readonly body: Uint8Array
}

/** The properties of a message that came in. */
export interface IncomingProperties {
  /** What could not be read, if anything: the message is not valid. The rest is there. */
  readonly unreadable?: string
  readonly contentType?: string
  readonly contentEncoding?: string
  readonly headers?: Readonly<Record<string, unknown>>
  /** The same as they came; only of connections that keep them. */
  readonly rawHeaders?: RawHeaders
  /** 2 when the message is persistent. */
  readonly deliveryMode?: number
  readonly priority?: number
  readonly type?: string
  readonly correlationId?: string
  readonly replyTo?: string
  readonly expiration?: string
  readonly messageId?: string
  readonly timestamp?: Date
  readonly userId?: string
  readonly appId?: string
}

export interface IncomingMessage {
  readonly exchange: string
  readonly routingKey: string
  readonly redelivered: boolean
  readonly deliveryTag: number
  readonly properties: IncomingProperties
  readonly body: Uint8Array
}
