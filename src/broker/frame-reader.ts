/** Cuts the bytes of a connection into frames. Source: AMQP 0-9-1, section 4.2.3. */
import { ReceivedBytes } from '../wire/received-bytes.ts'
import { AmqpException } from './exceptions.ts'
import { FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD, FRAME_OVERHEAD } from './writer.ts'

export interface Frame {
  readonly type: number
  readonly channel: number
  readonly payload: Buffer
}

/** The least that a payload of a type has; of a heartbeat, the most. */
const LEAST_BYTES: ReadonlyMap<number, number> = new Map([
  [FRAME_METHOD, 4],
  [FRAME_HEADER, 12],
  [FRAME_BODY, 0],
  [FRAME_HEARTBEAT, 0],
])

export class FrameReader {
  /** Bytes of a payload, at most. RabbitMQ does not count the 8 of the frame around it. */
  maxSize: number
  readonly #received = new ReceivedBytes()

  constructor(maxSize: number) {
    this.maxSize = maxSize
  }

  push(chunk: Buffer): void {
    this.#received.push(chunk)
  }

  /** So many bytes, once they are there. */
  take(length: number): Buffer | undefined {
    if (this.#received.length < length) return undefined
    const bytes = this.#received.all().subarray(0, length)
    this.#received.drop(length)
    return bytes
  }

  /**
   * The next frame, once it is there as a whole.
   * @throws AmqpException (501) when it is too large, of no known type, or does not end where it should
   */
  next(): Frame | undefined {
    if (this.#received.length < 7) return undefined
    const head = this.#received.first(7)
    const [type, channel, size] = [head.readUInt8(0), head.readUInt16BE(1), head.readUInt32BE(3)]
    if (size > this.maxSize) {
      // where the next frame would begin nobody knows
      this.#received.drop(this.#received.length)
      const problem = `{frame_too_large,${size},${this.maxSize - FRAME_OVERHEAD}}`
      throw frameError({ type, channel, payload: Buffer.alloc(0) }, problem)
    }
    const whole = size + FRAME_OVERHEAD
    if (this.#received.length < whole) return undefined
    const bytes = this.#received.all()
    this.#received.drop(whole)
    const frame = { type, channel, payload: bytes.subarray(7, whole - 1) }
    const end = bytes[whole - 1]
    if (end !== FRAME_END) throw frameError(frame, `{invalid_frame_end_marker,${end}}`)
    const least = LEAST_BYTES.get(type) ?? Infinity
    if (size < least || (type === FRAME_HEARTBEAT && size > 0)) throw frameError(frame, 'unknown_frame')
    return frame
  }
}

function frameError(frame: Frame, problem: string): AmqpException {
  return new AmqpException(501, `${shownFrame(frame)}: ${problem}`, 0)
}

/** 505, for a frame that has no place where it came. */
export function unexpectedFrame(frame: Frame): AmqpException {
  return new AmqpException(505, shownFrame(frame), 0)
}

function shownFrame({ type, payload }: Frame): string {
  const part = payload.length > 16 ? 'first 16' : 'all'
  return `type ${type}, ${part} octets = ${shownOctets(payload.subarray(0, 16))}`
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\b': '\\b',
  '\t': '\\t',
  '\n': '\\n',
  '\v': '\\v',
  '\f': '\\f',
  '\r': '\\r',
  '\u001b': '\\e',
  '"': '\\"',
  '\\': '\\\\',
}

/** As Erlang shows bytes: those that could be a text as one. */
function shownOctets(bytes: Buffer): string {
  const text = bytes.toString('latin1')
  // oxlint-disable-next-line no-control-regex -- they are among what Erlang takes for text
  if (!/^[\b\t\n\v\f\r\u001b -~\u00a0-\u00ff]+$/.test(text)) return `<<${bytes.join(',')}>>`
  return `<<"${Array.from(text, (letter) => ESCAPES[letter] ?? letter).join('')}">>`
}
