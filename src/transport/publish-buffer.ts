/**
 * How much waits for the window or for the broker, and may. Only messages without an owner count: what handlers publish must not fail
 * because others fill the buffer, nor fill it for others.
 */
import { PublishBufferFullError } from '../errors.ts'
import type { OutgoingMessage } from '../wire/message.ts'

export interface BufferedPublish {
  readonly message: OutgoingMessage
  readonly owner: object | undefined
}

export class PublishBuffer {
  readonly #limit: { readonly messages: number; readonly bytes: number }
  #messages = 0
  #bytes = 0

  constructor(limit: { readonly messages: number; readonly bytes: number }) {
    this.#limit = limit
  }

  add({ owner, message }: BufferedPublish): void {
    if (owner !== undefined) return
    this.#messages += 1
    this.#bytes += message.body.byteLength
  }

  remove({ owner, message }: BufferedPublish): void {
    if (owner !== undefined) return
    this.#messages -= 1
    this.#bytes -= message.body.byteLength
  }

  /** One larger message may wait alone. */
  hasRoomFor({ body }: OutgoingMessage): boolean {
    if (this.#messages === 0) return true
    return this.#messages < this.#limit.messages && this.#bytes + body.byteLength <= this.#limit.bytes
  }

  /** What it says when it is full. */
  get contents(): string {
    return `${this.#messages} messages (${this.#bytes} bytes) already wait for the broker`
  }

  /** What the publish of a message rejects with for which there is no room. */
  overflow({ exchange, routingKey }: OutgoingMessage): PublishBufferFullError {
    const mend = 'await what publish() returns, or raise publishBuffer'
    return new PublishBufferFullError(exchange, routingKey, `was not sent: ${this.contents}; ${mend}`)
  }
}
