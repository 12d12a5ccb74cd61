/** What a server answers, and how it is written in both versions of the protocol. Source: Redis serialization protocol (RESP2, RESP3). */

/** A text is a status, such as OK; bytes are a value; undefined is the array that is not there. */
export type Reply =
  | string
  | Buffer
  | number
  | null
  | undefined
  | ReplyError
  | readonly Reply[]
  | ReadonlyMap<string, Reply>

export type Protocol = 2 | 3

/** An answer that says what went wrong. Its message begins with its code, and has no line breaks. */
export class ReplyError extends Error {}

/** @param write is given the parts of the reply, in order */
export function writeReply(reply: Reply, protocol: Protocol, write: (part: string | Buffer) => void): void {
  if (reply === undefined) write(protocol === 3 ? '_\r\n' : '*-1\r\n')
  else if (reply === null) write(protocol === 3 ? '_\r\n' : '$-1\r\n')
  else if (typeof reply === 'string') write(`+${reply}\r\n`)
  else if (typeof reply === 'number') write(`:${reply}\r\n`)
  else if (reply instanceof ReplyError) write(`-${reply.message}\r\n`)
  else if (Buffer.isBuffer(reply)) {
    write(`$${reply.length}\r\n`)
    write(reply)
    write('\r\n')
  } else if (reply instanceof Map) {
    write(protocol === 3 ? `%${reply.size}\r\n` : `*${2 * reply.size}\r\n`)
    for (const [name, value] of reply as ReadonlyMap<string, Reply>) {
      writeReply(Buffer.from(name), protocol, write)
      writeReply(value, protocol, write)
    }
  } else {
    const list = reply as readonly Reply[]
    write(`*${list.length}\r\n`)
    for (const one of list) writeReply(one, protocol, write)
  }
}
