/** A content that is coming in behind its method: a header, and a body in as many frames as the client likes. Source: AMQP 0-9-1, section 4.2.6. */
import { AmqpException } from './exceptions.ts'
import type { Memory } from './memory.ts'
import { Reader } from './reader.ts'

const BASIC = 60
/** RabbitMQ's default. */
const MOST_BYTES = 134_217_728

export class IncomingContent {
  /** The key of the method before it, and the arguments of that. */
  readonly method: number
  readonly args: Reader
  readonly #memory: Memory
  #properties: Buffer | undefined
  #size = 0n
  #received = 0
  /** Grows with what comes: what a header says that will come costs nothing. */
  #body = Buffer.alloc(0)
  #counted = 0

  constructor(method: number, args: Reader, memory: Memory) {
    this.method = method
    this.args = args
    this.#memory = memory
  }

  /** @throws AmqpException (505) when it is not the header that is to come */
  header(payload: Buffer): void {
    if (this.#properties !== undefined) throw this.unexpected()
    const header = new Reader(payload)
    const classId = header.uint16()
    if (classId !== BASIC)
      throw new AmqpException(
        505,
        `expected content header for class ${BASIC}, got one for class ${classId} instead`,
        this.method,
      )
    const weight = header.uint16()
    if (weight !== 0) throw this.unexpected()
    this.#size = header.uint64()
    // copied out of what was read from the socket: it would keep all of that alive
    this.#properties = Buffer.from(header.rest())
    this.#count(this.#properties.length)
  }

  /** @throws AmqpException (505) when a header is to come */
  body(payload: Buffer): void {
    if (this.#properties === undefined) throw this.unexpected()
    if (this.#keepsBody) this.#keep(payload)
    this.#received += payload.length
    // RabbitMQ waits on when there is too much, and so for ever
    if (this.isComplete || !this.#keepsBody) this.release()
    else this.#count(payload.length)
  }

  /** Another frame came than one that is to come. */
  unexpected(): AmqpException {
    const text =
      this.#properties === undefined
        ? `expected content header for class ${BASIC}, got non content header frame instead`
        : 'expected content body, got non content body frame instead'
    return new AmqpException(505, text, this.method)
  }

  get isComplete(): boolean {
    return this.#properties !== undefined && BigInt(this.#received) === this.#size
  }

  /**
   * Of one that is complete.
   * @throws AmqpException (406) when the body is too large
   */
  take(): { readonly properties: Buffer; readonly body: Buffer } {
    if (this.#size > MOST_BYTES)
      throw new AmqpException(406, `message size ${this.#size} is larger than configured max size ${MOST_BYTES}`)
    return { properties: this.#properties ?? Buffer.alloc(0), body: this.#body }
  }

  /** What it took while it was coming in is free. */
  release(): void {
    this.#memory.add(-this.#counted)
    this.#counted = 0
    if (this.isComplete) return
    this.#body = Buffer.alloc(0)
    if (this.#properties !== undefined) this.#properties = Buffer.alloc(0)
  }

  #count(bytes: number): void {
    this.#memory.add(bytes)
    this.#counted += bytes
  }

  /** Too large a body is refused when it is there as a whole; until then it is only counted. */
  get #keepsBody(): boolean {
    return this.#size <= MOST_BYTES && this.#received <= Number(this.#size)
  }

  #keep(payload: Buffer): void {
    const [needed, size] = [this.#received + payload.length, Number(this.#size)]
    if (needed > size) return
    if (needed > this.#body.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(size, Math.max(needed, 2 * this.#body.length)))
      this.#body.copy(grown)
      this.#body = grown
    }
    payload.copy(this.#body, this.#received)
  }
}
