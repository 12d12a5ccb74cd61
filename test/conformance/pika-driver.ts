/** Says with pika what a scenario asks for: one program in Python (peers/pika_peer.py) serves all scenarios. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { ConnectOptions, Driver, Frame, Method, Peer, Requests } from './vocabulary.ts'

const SCRIPT = fileURLToPath(new URL('peers/pika_peer.py', import.meta.url))

type Line =
  | { readonly id: number; readonly reply: Frame }
  | { readonly connection: string; readonly channel: string; readonly event: Frame }

export function pikaDriver(): Driver {
  const program = new PikaProgram()
  return {
    name: 'pika',
    connect: (options, onEvent) => program.connect(options, onEvent),
    [Symbol.asyncDispose]: () => program.stop(),
  }
}

class PikaProgram {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #ended: Promise<void>
  readonly #replies = new Map<number, (reply: Frame) => void>()
  readonly #events = new Map<string, (channel: string, event: Frame) => void>()
  #orders = 0
  #connections = 0
  #errors = ''

  constructor() {
    this.#process = spawn('/usr/bin/python3', ['-u', SCRIPT])
    this.#process.stdin.on('error', () => {})
    this.#process.stderr.on('data', (bytes: Buffer) => {
      this.#errors += bytes.toString('utf8')
    })
    this.#ended = new Promise((resolve) => {
      this.#process.once('close', () => {
        for (const reply of this.#replies.values()) reply({ method: 'ended', reply_text: this.#errors })
        resolve()
      })
    })
    createInterface({ input: this.#process.stdout }).on('line', (text) => this.#take(JSON.parse(text) as Line))
  }

  async connect(options: ConnectOptions, onEvent: (channel: string, event: Frame) => void): Promise<Peer | Frame> {
    this.#connections += 1
    const connection = String(this.#connections)
    this.#events.set(connection, onEvent)
    const reply = await this.#tell({ do: 'connect', connection, options })
    if (reply.method !== 'connection.open-ok') return reply
    const tell = (order: object): Promise<Frame> => this.#tell({ connection, ...order })
    return {
      open: (channel, { confirm }) => tell({ do: 'open', channel, confirm }),
      request: <M extends Method>(channel: string, method: M, fields: Requests[M]) =>
        tell({ do: 'request', channel, method, fields }),
      close: async () => void (await tell({ do: 'close' })),
      drop: async () => void (await tell({ do: 'drop' })),
    }
  }

  async stop(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }

  async #tell(order: object): Promise<Frame> {
    this.#orders += 1
    const id = this.#orders
    const replied = new Promise<Frame>((resolve) => this.#replies.set(id, resolve))
    this.#process.stdin.write(`${JSON.stringify({ id, ...order })}\n`)
    const reply = await replied
    this.#replies.delete(id)
    if (reply.method === 'error' || reply.method === 'ended') throw new Error(`pika: ${reply.reply_text}`)
    return reply
  }

  #take(line: Line): void {
    if ('id' in line) this.#replies.get(line.id)?.(line.reply)
    else this.#events.get(line.connection)?.(line.channel, line.event)
  }
}
