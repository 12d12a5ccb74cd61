/**
 * Cuts the bytes of a connection into commands, each an array of texts. What is no command ends the connection, as does one that is too
 * large: so a web page that has a browser send its request here is not listened to. Source: Redis serialization protocol (RESP).
 */
import { ReceivedBytes } from '../wire/received-bytes.ts'
import { visible } from '../wire/text.ts'
import { ReplyError } from './reply.ts'

/** What the texts of one command may take. */
export const MOST_COMMAND_BYTES = 64 * 1_024 * 1_024
/** What a text takes beside its bytes. */
export const TEXT_OVERHEAD = 64
const MOST_TEXTS = MOST_COMMAND_BYTES / TEXT_OVERHEAD
/** `*` or `$`, a number, the end of the line. */
const MOST_LINE_BYTES = 32

export class RespReader {
  readonly #received = new ReceivedBytes()
  #texts: Buffer[] = []
  /** How many texts of the command have not been read. */
  #missing = 0
  /** Of the text that comes next, once it is known. */
  #length: number | undefined
  #size = 0

  push(chunk: Buffer): void {
    this.#received.push(chunk)
  }

  /**
   * The next command, once it is there as a whole: its name and its arguments.
   * @throws ReplyError when the connection has to end
   */
  next(): readonly Buffer[] | undefined {
    for (;;) {
      while (this.#missing === 0) {
        const count = this.#number('*', MOST_TEXTS)
        if (count === undefined) return undefined
        // an empty one is passed over
        this.#missing = Math.max(count, 0)
      }
      const text = this.#text()
      if (text === undefined) return undefined
      this.#texts.push(text)
      this.#missing -= 1
      if (this.#missing > 0) continue
      const command = this.#texts
      this.#texts = []
      this.#size = 0
      return command
    }
  }

  #text(): Buffer | undefined {
    if (this.#length === undefined) {
      const length = this.#number('$', MOST_COMMAND_BYTES)
      if (length === undefined) return undefined
      this.#size += length + TEXT_OVERHEAD
      if (length < 0 || this.#size > MOST_COMMAND_BYTES)
        throw protocolError(`invalid bulk length; a command may take ${MOST_COMMAND_BYTES} bytes`)
      this.#length = length
    }
    const length = this.#length
    if (this.#received.length < length + 2) return undefined
    const bytes = this.#received.all()
    if (bytes[length] !== 13 || bytes[length + 1] !== 10) throw protocolError('a text does not end where it should')
    this.#received.drop(length + 2)
    this.#length = undefined
    return bytes.subarray(0, length)
  }

  /** The number of a line that begins with this sign. */
  #number(sign: string, most: number): number | undefined {
    if (this.#received.length === 0) return undefined
    const line = this.#received.all().subarray(0, MOST_LINE_BYTES)
    if (line.toString('latin1', 0, 1) !== sign)
      throw protocolError(`expected '${sign}', got '${visible(line.toString('latin1', 0, 1))}'`)
    const end = line.indexOf('\r\n')
    if (end < 0 && line.length < MOST_LINE_BYTES) return undefined
    const digits = line.toString('latin1', 1, Math.max(end, 1))
    const number = /^-?\d{1,10}$/.test(digits) ? Number(digits) : Infinity
    if (number > most) throw protocolError(`invalid ${sign === '*' ? 'multibulk' : 'bulk'} length; the most is ${most}`)
    this.#received.drop(end + 2)
    return number
  }
}

function protocolError(problem: string): ReplyError {
  return new ReplyError(`ERR Protocol error: ${problem}`)
}
