/** A client that knows next to nothing of Redis: it sends bytes, and keeps those that come back. */
import net from 'node:net'
import { onTestFinished } from 'vitest'

export class RespClient {
  /** Everything that came so far, a character for each byte. */
  received = ''
  /** Resolves when the server has closed the connection. */
  readonly closed: Promise<void>
  readonly socket: net.Socket

  /** For the rest of the test that calls this. */
  constructor(url: string) {
    const { hostname, port } = new URL(url)
    this.socket = net.connect(Number(port), hostname)
    this.socket.on('error', () => {})
    this.socket.on('data', (bytes) => {
      this.received += bytes.toString('latin1')
    })
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => resolve())
    })
    onTestFinished(() => void this.socket.destroy())
  }

  send(...command: readonly (string | Buffer)[]): void {
    this.socket.write(encoded(command))
  }
}

export function encoded(command: readonly (string | Buffer)[]): Buffer {
  const texts = command.map((text) => Buffer.from(text))
  const parts = texts.flatMap((text) => [Buffer.from(`$${text.length}\r\n`), text, Buffer.from('\r\n')])
  return Buffer.concat([Buffer.from(`*${command.length}\r\n`), ...parts])
}

/** What a server answers to these commands of one connection, from the first to the last, as lines. */
export async function answersOf(url: string, commands: readonly (readonly (string | Buffer)[])[]): Promise<string[]> {
  const client = new RespClient(url)
  for (const command of commands) client.send(...command)
  client.send('QUIT')
  await client.closed
  return client.received.split('\r\n')
}
