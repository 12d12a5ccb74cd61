/**
 * A client that says whatever it is told, right or wrong, byte by byte: no library would. What the broker says becomes a line for each
 * frame, so that two brokers can be compared.
 */
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { field, long, method, METHOD, PROTOCOL_HEADER, short, u16, u32, u8 } from './bytes.ts'

/**
 * A frame of the broker, such as `channel.open-ok on 1`; one that closes tells code, method to blame and text:
 * `connection.close 501 for queue.declare: FRAME_ERROR - …`. Or `the end` of the socket, or `nothing`, when nothing came in time.
 */
export type Said = string

/** Of what a broker says, and of what it blames. */
const NAMES: Readonly<Record<string, string>> = {
  '10.10': 'connection.start',
  '10.11': 'connection.start-ok',
  '10.30': 'connection.tune',
  '10.31': 'connection.tune-ok',
  '10.40': 'connection.open',
  '10.41': 'connection.open-ok',
  '10.50': 'connection.close',
  '10.51': 'connection.close-ok',
  '10.70': 'connection.update-secret',
  '10.71': 'connection.update-secret-ok',
  '20.10': 'channel.open',
  '20.11': 'channel.open-ok',
  '20.20': 'channel.flow',
  '20.21': 'channel.flow-ok',
  '20.40': 'channel.close',
  '20.41': 'channel.close-ok',
  '30.11': 'access.request-ok',
  '40.10': 'exchange.declare',
  '50.10': 'queue.declare',
  '50.11': 'queue.declare-ok',
  '60.10': 'basic.qos',
  '60.20': 'basic.consume',
  '60.21': 'basic.consume-ok',
  '60.31': 'basic.cancel-ok',
  '60.40': 'basic.publish',
  '60.60': 'basic.deliver',
  '60.71': 'basic.get-ok',
  '60.80': 'basic.ack',
  '60.110': 'basic.recover',
  '0.0': 'nothing',
}

const PATIENCE_MS = 25_000

export interface OpenOptions {
  readonly vhost: string
  readonly channelMax?: number
  readonly frameMax?: number
  readonly heartbeat?: number
}

export class RawClient {
  readonly said: Said[] = []
  heartbeats = 0
  readonly #socket: net.Socket
  #received = Buffer.alloc(0)
  /** Behind that. */
  #chunks: Buffer[] = []
  #ended = false
  #wake: () => void = () => {}

  constructor({ host, port }: { readonly host: string; readonly port: number }) {
    this.#socket = net.connect(port, host)
    this.#socket.setNoDelay(true)
    this.#socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#wake()
    })
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => {
      this.#ended = true
      this.#wake()
    })
  }

  send(...bytes: readonly Buffer[]): void {
    this.#socket.write(Buffer.concat(bytes))
  }

  /** So slowly that every byte comes alone, until they are all sent or the socket ends. */
  async dribble(bytes: Buffer, pauseMs: number): Promise<void> {
    for (const byte of bytes) {
      if (this.#ended) return
      this.send(u8(byte))
      await delay(pauseMs)
    }
  }

  /** Listens no more, and so leaves the broker with all that it has to say. */
  deafen(): void {
    this.#socket.pause()
  }

  hearAgain(): void {
    this.#socket.resume()
  }

  /** What the broker says next. Heartbeats are only counted. */
  async next(): Promise<Said> {
    const deadline = Date.now() + PATIENCE_MS
    for (;;) {
      const said = this.#taken() ?? (this.#ended ? 'the end' : Date.now() >= deadline ? 'nothing' : undefined)
      if (said !== undefined) {
        this.said.push(said)
        return said
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadline - Date.now())
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** Hears so much, or to the end; agrees when the broker closes the connection. */
  async hear(count: number): Promise<void> {
    while (this.said.length < count) {
      const said = await this.next()
      if (said === 'the end' || said === 'nothing') return
      if (said.startsWith('connection.close ')) this.send(method(0, 10, 51))
    }
  }

  /** Goes through the handshake and opens channel 1; what was said until then is forgotten. */
  async open({ vhost, channelMax = 2_047, frameMax = 131_072, heartbeat = 0 }: OpenOptions): Promise<void> {
    this.send(PROTOCOL_HEADER)
    await this.hear(1)
    this.send(startOk())
    await this.hear(2)
    this.send(method(0, 10, 31, u16(channelMax), u32(frameMax), u16(heartbeat)))
    this.send(method(0, 10, 40, short(vhost), short(''), u8(0)), method(1, 20, 10, short('')))
    await this.hear(4)
    if (this.said.at(-1) !== 'channel.open-ok on 1') throw new Error(`not open, but ${this.said.join(', ')}`)
    this.said.length = 0
  }

  close(): void {
    this.#socket.destroy()
  }

  /** Takes the next frame that is more than a heartbeat out of what was received. */
  #taken(): Said | undefined {
    for (;;) {
      const held = this.#received
      const isWhole = held.length >= 8 && held.length >= held.readUInt32BE(3) + 8
      const bytes = isWhole ? held : Buffer.concat([held, ...this.#chunks.splice(0)])
      this.#received = bytes
      if (bytes.length >= 8 && bytes.toString('latin1', 0, 4) === 'AMQP') {
        this.#received = bytes.subarray(8)
        return `the protocol header ${bytes.subarray(4, 8).join('.')}`
      }
      const size = bytes.length < 8 ? Infinity : bytes.readUInt32BE(3)
      if (bytes.length < size + 8) return undefined
      this.#received = bytes.subarray(size + 8)
      if (bytes[0] !== 8) return shown(bytes.readUInt8(0), bytes.readUInt16BE(1), bytes.subarray(7, 7 + size))
      this.heartbeats += 1
    }
  }
}

function shown(type: number, channel: number, payload: Buffer): Said {
  if (type !== METHOD) return `a frame of type ${type} on ${channel}, of ${payload.length} bytes`
  const name = nameAt(payload, 0)
  if (name !== 'connection.close' && name !== 'channel.close') return `${name} on ${channel}`
  const end = 7 + payload.readUInt8(6)
  // Erlang breaks long lines, and nobody shall count the letters to know where
  const text = payload.toString('latin1', 7, end).replaceAll(/\n\s*/g, '')
  return `${name} ${payload.readUInt16BE(4)} for ${nameAt(payload, end)}: ${text}`
}

function nameAt(payload: Buffer, at: number): string {
  const numbers = `${payload.readUInt16BE(at)}.${payload.readUInt16BE(at + 2)}`
  return NAMES[numbers] ?? numbers
}

/** Without the text of what closes. */
export function brief(said: Said): Said {
  return said.replace(/^((?:connection|channel)\.close \d+ for [\w.-]+): .*$/s, '$1')
}

/** With the capability to be told why a login is refused. */
export function startOk({
  mechanism = 'PLAIN',
  response = Buffer.from('\0guest\0guest'),
  properties = field('capabilities', 'F', long(field('authentication_failure_close', 't', u8(1)))),
} = {}): Buffer {
  return method(0, 10, 11, long(properties), short(mechanism), long(response), short('en_US'))
}
