/** AMQP as bytes, well formed or not. */

export const METHOD = 1
export const HEADER = 2
export const BODY = 3
export const HEARTBEAT = 8
export const PROTOCOL_HEADER = Buffer.from([...Buffer.from('AMQP'), 0, 0, 9, 1])

export function u8(...values: readonly number[]): Buffer {
  return Buffer.from(values)
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

export function short(text: string | Buffer): Buffer {
  return Buffer.concat([u8(Buffer.byteLength(text)), Buffer.from(text)])
}

export function long(bytes: string | Buffer): Buffer {
  return Buffer.concat([u32(Buffer.byteLength(bytes)), Buffer.from(bytes)])
}

export function frame(type: number, channel: number, ...payload: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(payload)
  return Buffer.concat([u8(type), u16(channel), u32(bytes.length), bytes, u8(0xce)])
}

export function method(channel: number, classId: number, methodId: number, ...args: readonly Buffer[]): Buffer {
  return frame(METHOD, channel, u16(classId), u16(methodId), ...args)
}

/** The field of a table. @param type the letter of its type */
export function field(name: string | Buffer, type: string, ...value: readonly Buffer[]): Buffer {
  return Buffer.concat([short(name), Buffer.from(type, 'latin1'), ...value])
}

/** A table in a table in a table…, or the same of arrays. */
export function nested(depth: number, type: 'F' | 'A'): Buffer {
  const innermost = type === 'F' ? field('a', 't', u8(1)) : Buffer.concat([Buffer.from('t'), u8(1)])
  const levels: Buffer[] = []
  let length = innermost.length
  for (let level = 0; level < depth; level++) {
    const head = type === 'F' ? field('a', 'F', u32(length)) : Buffer.concat([Buffer.from('A'), u32(length)])
    levels.push(head)
    length += head.length
  }
  const bytes = Buffer.concat([...levels.toReversed(), innermost])
  return type === 'F' ? bytes : field('a', 'A', long(bytes))
}

/** To the default exchange, with a key that no queue has. */
export function publish(channel = 1): Buffer {
  return method(channel, 60, 40, u16(0), short(''), short('nobody'), u8(0))
}

/** @param properties flags and values */
export function header(size: bigint, properties: Buffer = u16(0)): Buffer {
  return frame(HEADER, 1, u16(60), u16(0), u64(size), properties)
}

export function body(bytes: string | Buffer): Buffer {
  return frame(BODY, 1, Buffer.from(bytes))
}

/** Properties that are headers alone. */
export function headers(table: Buffer): Buffer {
  return Buffer.concat([u16(0x2000), long(table)])
}

export function tuneOk(channelMax: number, frameMax: number, heartbeat: number): Buffer {
  return method(0, 10, 31, u16(channelMax), u32(frameMax), u16(heartbeat))
}

export function openVhost(vhost: string | Buffer): Buffer {
  return method(0, 10, 40, short(vhost), short(''), u8(0))
}

/** A queue of the name `hostile`, with these arguments. */
export function declareWith(table: Buffer, length = table.length): Buffer {
  return method(1, 50, 10, u16(0), short('hostile'), u8(0), u32(length), table)
}

/** Asks channel 1 for an answer that comes when all before it is done. */
export const FLOW = method(1, 20, 20, u8(1))
/** The same of the connection, for when channel 1 is in the middle of something. */
export const PING = method(77, 20, 10, short(''))
