/**
 * The words of a scenario: methods of AMQP 0-9-1 by their names, with the names of their fields, so that every driver can
 * say them and every transcript reads as the protocol does.
 */

/** A field as transcripts and drivers write it. What JSON has no type for is an object with one key that begins with `!`. */
export type Value =
  | null
  | boolean
  | number
  | string
  | readonly Value[]
  | { readonly [key: string]: Value }
  | { readonly '!timestamp': number }
  | { readonly '!bytes': string }

export type Table = { readonly [key: string]: Value }

export interface Properties {
  readonly content_type?: string
  readonly content_encoding?: string
  readonly headers?: Table
  readonly delivery_mode?: number
  readonly priority?: number
  readonly correlation_id?: string
  readonly reply_to?: string
  readonly expiration?: string
  readonly message_id?: string
  readonly timestamp?: number
  readonly type?: string
  readonly user_id?: string
  readonly app_id?: string
}

/** What a scenario may ask of a channel. What is left out is false, empty or 0. */
export interface Requests {
  'channel.close': object
  'channel.flow': { readonly active: boolean }
  'exchange.declare': {
    readonly exchange: string
    readonly type?: string
    readonly passive?: boolean
    readonly durable?: boolean
    readonly auto_delete?: boolean
    readonly internal?: boolean
    readonly arguments?: Table
  }
  'exchange.delete': { readonly exchange: string; readonly if_unused?: boolean }
  'exchange.bind': {
    readonly destination: string
    readonly source: string
    readonly routing_key?: string
    readonly arguments?: Table
  }
  'exchange.unbind': Requests['exchange.bind']
  'queue.declare': {
    readonly queue?: string
    readonly passive?: boolean
    readonly durable?: boolean
    readonly exclusive?: boolean
    readonly auto_delete?: boolean
    readonly arguments?: Table
  }
  'queue.bind': {
    readonly queue: string
    readonly exchange: string
    readonly routing_key?: string
    readonly arguments?: Table
  }
  'queue.unbind': Requests['queue.bind']
  'queue.purge': { readonly queue: string }
  'queue.delete': { readonly queue: string; readonly if_unused?: boolean; readonly if_empty?: boolean }
  'basic.qos': { readonly prefetch_count: number; readonly global?: boolean }
  'basic.consume': {
    readonly queue: string
    readonly consumer_tag: string
    readonly no_ack?: boolean
    readonly exclusive?: boolean
    readonly arguments?: Table
  }
  'basic.cancel': { readonly consumer_tag: string }
  'basic.publish': {
    readonly exchange?: string
    readonly routing_key?: string
    readonly mandatory?: boolean
    readonly properties?: Properties
    readonly body?: string
  }
  'basic.get': { readonly queue: string; readonly no_ack?: boolean }
  'basic.ack': { readonly delivery_tag: number; readonly multiple?: boolean }
  'basic.nack': { readonly delivery_tag: number; readonly multiple?: boolean; readonly requeue: boolean }
  'basic.reject': { readonly delivery_tag: number; readonly requeue: boolean }
  'basic.recover': { readonly requeue: boolean }
  'tx.select': object
}

export type Method = keyof Requests

/**
 * What a broker says: the answer to a request, or something of its own accord. The content of a message is in `properties`
 * and `body`. A request without an answer is answered by `none`, and one that will get none, because its channel closed, by
 * `closed`: the frame that closed it comes as an event.
 */
export interface Frame {
  readonly method: string
  readonly reply_code?: number
  readonly reply_text?: string
  readonly queue?: string
  readonly message_count?: number
  readonly consumer_count?: number
  readonly consumer_tag?: string
  readonly delivery_tag?: number
  readonly redelivered?: boolean
  readonly multiple?: boolean
  readonly exchange?: string
  readonly routing_key?: string
  readonly reason?: string
  readonly properties?: Properties
  readonly body?: string
}

export interface ConnectOptions {
  readonly url: string
  readonly heartbeat?: number
  readonly frameMax?: number
  readonly channelMax?: number
}

/** A connection of a client library. */
export interface Peer {
  /** Opens a channel; with `confirm`, it asks for publisher confirms. */
  open(channel: string, options: { readonly confirm: boolean }): Promise<Frame>
  request<M extends Method>(channel: string, method: M, fields: Requests[M]): Promise<Frame>
  close(): Promise<void>
  /** Cuts the socket, without a word. */
  drop(): Promise<void>
}

/** A client library, told what to do in the words above. */
export interface Driver extends AsyncDisposable {
  readonly name: 'amqplib' | 'pika'
  /**
   * Connects. Events come with the name of their channel, which is '' for those of the connection.
   * @returns what closed the connection, when the broker refuses it
   */
  connect(options: ConnectOptions, onEvent: (channel: string, event: Frame) => void): Promise<Peer | Frame>
}

const SHOWN_BYTES = 300

/** A body as transcripts show it: its text, or what identifies it when it is long. */
export function shownBody(bytes: Buffer, digest: (bytes: Buffer) => string): string {
  return bytes.length <= SHOWN_BYTES ? bytes.toString('utf8') : `<${bytes.length} bytes, sha256 ${digest(bytes)}>`
}
