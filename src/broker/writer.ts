/** Writes frames of AMQP: methods with their arguments, contents, heartbeats. Source: AMQP 0-9-1, section 4.2. */
import { type FieldTable, writeTable } from './field-table.ts'

export const FRAME_METHOD = 1
export const FRAME_HEADER = 2
export const FRAME_BODY = 3
export const FRAME_HEARTBEAT = 8
export const FRAME_END = 0xce
/** Of a frame beside its payload. */
export const FRAME_OVERHEAD = 8

/** A method by the number of its class and its own. */
export function methodKey(classId: number, methodId: number): number {
  return classId * 65_536 + methodId
}

/** A method: its number and its arguments, in their order. */
export class MethodWriter {
  readonly #parts: Buffer[] = []

  constructor(classId: number, methodId: number) {
    this.uint16(classId).uint16(methodId)
  }

  uint8(value: number): this {
    return this.#add(Buffer.from([value]))
  }

  uint16(value: number): this {
    const bytes = Buffer.allocUnsafe(2)
    bytes.writeUInt16BE(value)
    return this.#add(bytes)
  }

  uint32(value: number): this {
    const bytes = Buffer.allocUnsafe(4)
    bytes.writeUInt32BE(value)
    return this.#add(bytes)
  }

  uint64(value: number): this {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeBigUInt64BE(BigInt(value))
    return this.#add(bytes)
  }

  /** Cut to 255 bytes. */
  shortString(text: string): this {
    const bytes = Buffer.from(text, 'latin1').subarray(0, 255)
    return this.uint8(bytes.length).#add(bytes)
  }

  longString(text: string): this {
    const bytes = Buffer.from(text)
    return this.uint32(bytes.length).#add(bytes)
  }

  table(table: FieldTable): this {
    const bytes = writeTable(table)
    return this.uint32(bytes.length).#add(bytes)
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts)
  }

  #add(bytes: Buffer): this {
    this.#parts.push(bytes)
    return this
  }
}

export function frame(type: number, channel: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(payload.length + FRAME_OVERHEAD)
  bytes[0] = type
  bytes.writeUInt16BE(channel, 1)
  bytes.writeUInt32BE(payload.length, 3)
  payload.copy(bytes, 7)
  bytes[payload.length + 7] = FRAME_END
  return bytes
}

/** The frames of a content: its header, and its body in pieces that fit. */
export function contentFrames(channel: number, properties: Buffer, body: Buffer, frameMax: number): Buffer[] {
  const header = Buffer.allocUnsafe(12 + properties.length)
  header.writeUInt16BE(60, 0)
  header.writeUInt16BE(0, 2)
  header.writeBigUInt64BE(BigInt(body.length), 4)
  properties.copy(header, 12)
  const frames = [frame(FRAME_HEADER, channel, header)]
  const most = frameMax - FRAME_OVERHEAD
  for (let at = 0; at < body.length; at += most) frames.push(frame(FRAME_BODY, channel, body.subarray(at, at + most)))
  return frames
}
