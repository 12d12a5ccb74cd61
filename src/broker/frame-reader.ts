/** Cuts the bytes of a connection into frames. Source: AMQP 0-9-1, section 4.2.3. */
import { AmqpException } from './exceptions.ts'
import { FRAME_END, FRAME_OVERHEAD } from './writer.ts'

export interface Frame {
  readonly type: number
  readonly channel: number
  readonly payload: Buffer
}

export class FrameReader {
  /** Bytes of the whole frame, at most. */
  maxSize: number
  #chunks: Buffer[] = []
  #held = 0

  constructor(maxSize: number) {
    this.maxSize = maxSize
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#held += chunk.length
  }

  /** So many bytes, once they are there. */
  take(length: number): Buffer | undefined {
    if (this.#held < length) return undefined
    const bytes = this.#joined()
    this.#keep(bytes.subarray(length))
    return bytes.subarray(0, length)
  }

  /**
   * The next frame, once it is there as a whole.
   * @throws AmqpException (501) when it is too large or does not end where it should
   */
  next(): Frame | undefined {
    if (this.#held < 7) return undefined
    const first = this.#chunks[0]
    const head = first !== undefined && first.length >= 7 ? first : this.#joined()
    const size = head.readUInt32BE(3)
    const type = head.readUInt8(0)
    if (size + FRAME_OVERHEAD > this.maxSize)
      throw new AmqpException(
        501,
        `type ${type}, first 16 octets = ${shownOctets(head.subarray(7, 23))}: {frame_too_large,${size},${this.maxSize - FRAME_OVERHEAD}}`,
      )
    const whole = size + FRAME_OVERHEAD
    if (this.#held < whole) return undefined
    const bytes = this.#joined()
    if (bytes[whole - 1] !== FRAME_END)
      throw new AmqpException(
        501,
        `type ${type}, first 16 octets = ${shownOctets(bytes.subarray(7, 23))}: {invalid_frame_end_marker,${bytes[whole - 1]}}`,
      )
    this.#keep(bytes.subarray(whole))
    return { type, channel: bytes.readUInt16BE(1), payload: bytes.subarray(7, whole - 1) }
  }

  #joined(): Buffer {
    const [first] = this.#chunks
    if (this.#chunks.length === 1 && first !== undefined) return first
    const bytes = Buffer.concat(this.#chunks)
    this.#chunks = [bytes]
    return bytes
  }

  #keep(bytes: Buffer): void {
    this.#chunks = bytes.length === 0 ? [] : [bytes]
    this.#held = bytes.length
  }
}

function shownOctets(bytes: Buffer): string {
  return `<<${[...bytes].join(',')}>>`
}
