/**
 * The development broker: AMQP 0-9-1 on a port, in memory, as RabbitMQ does it, for one developer's machine and for tests. What it
 * does not do it refuses. RabbitMQ is the broker for production, and the judge where the two differ.
 */
import { createServer, type AddressInfo, type Server } from 'node:net'
import { InvalidSettingError } from '../errors.ts'
import { type Clock, SYSTEM_CLOCK } from '../time/clock.ts'
import { byteString } from './byte-string.ts'
import { Connection } from './connection.ts'
import { AmqpException } from './exceptions.ts'
import type { BrokerHooks } from './hooks.ts'
import { type Management, serveManagement } from './management.ts'
import { Memory } from './memory.ts'
import type { Policy } from './policy.ts'
import { VirtualHost } from './virtual-host.ts'

export interface DevBrokerOptions {
  /** Where it listens. Anybody who reaches it can log in: other machines should not. @default '127.0.0.1' */
  readonly host?: string
  /** 0 is one that is free. @default 0 */
  readonly port?: number
  /** Where the management API listens, as far as it goes; 0 is a port that is free. Default: nowhere. */
  readonly managementPort?: number
  /** The time that messages and queues live by. Default: the system's. */
  readonly clock?: Clock
  /** What all messages may take, in bytes, before those who publish are held up; one that is larger never comes through. @default 268435456 */
  readonly memoryLimitBytes?: number
}

const DEFAULT_MEMORY_BYTES = 256 * 1_024 * 1_024
const USER = 'guest'

export class DevBroker {
  readonly host: string
  readonly port: number
  /** Tests put their faults here. */
  readonly hooks: BrokerHooks = {}
  readonly #server: Server
  readonly #clock: Clock
  readonly #memory: Memory
  readonly #vhosts = new Map<string, VirtualHost>()
  readonly #connections = new Set<Connection>()
  #management: Management | undefined

  private constructor(
    server: Server,
    host: string,
    { clock = SYSTEM_CLOCK, memoryLimitBytes = DEFAULT_MEMORY_BYTES }: DevBrokerOptions,
  ) {
    this.#server = server
    this.host = host
    this.port = portOf(server)
    this.#clock = clock
    this.#memory = new Memory(memoryLimitBytes, () => {
      for (const connection of this.#connections) connection.unblock()
    })
    this.addVhost('/')
    server.on('connection', (socket) => {
      this.#connections.add(
        new Connection(socket, {
          vhost: (name) => this.#vhosts.get(name),
          isUser: (name, password) => name === USER && password === USER,
          memoryAlarm: () => this.#memory.alarm,
          ended: (connection) => this.#connections.delete(connection),
        }),
      )
    })
  }

  /** @throws InvalidSettingError when it cannot listen there, such as when the port is taken */
  static async start(options: DevBrokerOptions = {}): Promise<DevBroker> {
    const { host = '127.0.0.1', port = 0 } = options
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) =>
        reject(new InvalidSettingError('port', `${port} of ${host} cannot be used: ${error.message}`)),
      )
      server.listen(port, host, resolve)
    })
    const broker = new DevBroker(server, host, options)
    const { managementPort } = options
    if (managementPort !== undefined)
      try {
        broker.#management = await serveManagement(broker, host, managementPort)
      } catch (error) {
        await broker.close()
        throw error
      }
    return broker
  }

  /** With user and password, for the virtual host `/`. */
  get url(): string {
    const host = this.host.includes(':') ? `[${this.host}]` : this.host
    return `amqp://${USER}:${USER}@${host}:${this.port}`
  }

  /** Of the management API, where there is one: `http://127.0.0.1:15672`; for user and password of `url`. */
  get managementUrl(): string | undefined {
    return this.#management?.url
  }

  /** Whether those who publish are held up. */
  get memoryAlarm(): boolean {
    return this.#memory.alarm
  }

  connections(): readonly Connection[] {
    return [...this.#connections].filter(({ isRunning }) => isRunning)
  }

  vhosts(): readonly VirtualHost[] {
    return [...this.#vhosts.values()]
  }

  addVhost(given: string): void {
    const name = byteString(given)
    if (this.#vhosts.has(name)) return
    this.#vhosts.set(name, new VirtualHost(name, { clock: this.#clock, memory: this.#memory, hooks: this.hooks }))
  }

  /** Its connections are closed. */
  deleteVhost(given: string): void {
    const name = byteString(given)
    const vhost = this.#vhosts.get(name)
    if (vhost === undefined) return
    this.#vhosts.delete(name)
    for (const connection of this.connections())
      if (connection.vhost === vhost) connection.closeFor(new AmqpException(320, `vhost '${name}' is deleted`))
    vhost.end()
  }

  /** @throws Error for a definition that this broker does not know, a pattern that is none, or a virtual host that is not there */
  setPolicy(policy: Policy): void {
    this.#vhost(policy.vhost ?? '/').setPolicy(bytesOf(policy))
  }

  clearPolicy(vhost: string, name: string): void {
    this.#vhost(vhost).clearPolicy(byteString(name))
  }

  /** Hands out what hooks hold back. @returns whether there was anything */
  release(): boolean {
    let wasAny = false
    for (const vhost of this.vhosts()) for (const queue of vhost.queues.values()) wasAny = queue.release() || wasAny
    return wasAny
  }

  /** Closes all connections, and forgets everything. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const connection of this.#connections)
      connection.closeFor(new AmqpException(320, `broker forced connection closure with reason 'shutdown'`))
    await new Promise((resolve) => setImmediate(resolve))
    for (const connection of this.#connections) connection.drop()
    for (const vhost of this.#vhosts.values()) vhost.end()
    await this.#management?.close()
    await closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #vhost(name: string): VirtualHost {
    const vhost = this.#vhosts.get(byteString(name))
    if (vhost === undefined) throw new Error(`there is no virtual host '${name}'`)
    return vhost
  }
}

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

function bytesOf(policy: Policy): Policy {
  const definition = Object.entries(policy.definition).map(([key, value]): [string, unknown] => [
    key,
    typeof value === 'string' ? byteString(value) : value,
  ])
  return {
    ...policy,
    name: byteString(policy.name),
    pattern: byteString(policy.pattern),
    definition: Object.fromEntries(definition),
  }
}
