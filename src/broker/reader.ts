/** Reads the elementary values of AMQP from the payload of a frame, from its start to its end and no further. */
import { unreadable } from './exceptions.ts'
import { type FieldTable, readTable } from './field-table.ts'

/** Its errors are 541 (INTERNAL_ERROR): what can end too early in another way is checked before. */
export class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#pass(1))
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#pass(2))
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#pass(4))
  }

  uint64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#pass(8))
  }

  /** Up to 255 bytes, one character each. */
  shortString(): string {
    return this.#part(this.uint8()).toString('latin1')
  }

  /** A name of a queue or an exchange: without line breaks, as RabbitMQ reads them. */
  name(): string {
    return this.shortString().replaceAll(/[\r\n]/g, '')
  }

  longString(): Buffer {
    return this.#part(this.uint32())
  }

  table(): FieldTable {
    return readTable(this.longString())
  }

  /** The bits of one octet, the first the lowest. */
  bits(): (index: number) => boolean {
    const octet = this.uint8()
    return (index) => (octet & (1 << index)) !== 0
  }

  /** The bytes of a value, with the length before it. */
  value(kind: 'short string' | 'table' | 'octet' | 'time'): Buffer {
    const start = this.#at
    if (kind === 'short string') this.#pass(this.uint8())
    else if (kind === 'table') this.#pass(this.uint32())
    else this.#pass(kind === 'octet' ? 1 : 8)
    return this.#bytes.subarray(start, this.#at)
  }

  rest(): Buffer {
    return this.#part(this.#bytes.length - this.#at)
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  #part(length: number): Buffer {
    const start = this.#pass(length)
    return this.#bytes.subarray(start, start + length)
  }

  #pass(length: number): number {
    const start = this.#at
    if (start + length > this.#bytes.length) throw unreadable()
    this.#at = start + length
    return start
  }
}
