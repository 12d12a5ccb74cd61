/**
 * The development store: what the temporary stores of services need of Redis, on a port, in memory, for one developer's machine and for
 * tests. What it does not do it refuses. Redis is the store for production, and the judge where the two differ.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { InvalidSettingError } from '../errors.ts'
import { type Clock, SYSTEM_CLOCK } from '../time/clock.ts'
import { Databases } from './databases.ts'
import { Session } from './session.ts'

export interface StoreServerOptions {
  /** Where it listens. Anybody who reaches it can read and write: other machines should not. @default '127.0.0.1' */
  readonly host?: string
  /** 0 is one that is free. @default 0 */
  readonly port?: number
  /** The time that keys live by. Default: the system's. */
  readonly clock?: Clock
  /** What all keys may take, in bytes, before commands that store are refused. @default 268435456 */
  readonly memoryLimitBytes?: number
}

const DEFAULT_MEMORY_BYTES = 256 * 1_024 * 1_024

export class StoreServer {
  /** `redis://127.0.0.1:PORT` */
  readonly url: string
  readonly port: number
  readonly #server: Server
  readonly #databases: Databases
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server, host: string, port: number, databases: Databases) {
    this.#server = server
    this.port = port
    this.url = `redis://${host.includes(':') ? `[${host}]` : host}:${port}`
    this.#databases = databases
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      // its socket keeps it
      void new Session(socket, databases)
    })
  }

  /** @throws InvalidSettingError when it cannot listen there, such as when the port is taken */
  static async start(options: StoreServerOptions = {}): Promise<StoreServer> {
    const { host = '127.0.0.1', port = 0, clock = SYSTEM_CLOCK, memoryLimitBytes = DEFAULT_MEMORY_BYTES } = options
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) =>
        reject(new InvalidSettingError('port', `${port} of ${host} cannot be used: ${error.message}`)),
      )
      server.listen(port, host, resolve)
    })
    const address = server.address()
    const own = typeof address === 'object' && address !== null ? address.port : port
    return new StoreServer(server, host, own, new Databases(clock, memoryLimitBytes))
  }

  /** Closes all connections, and forgets everything. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    this.#databases.close()
    await closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
