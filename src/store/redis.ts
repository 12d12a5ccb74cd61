/**
 * One connection to Redis, single or by Sentinel: commands in, replies as bytes out, each within its time. The only import of the
 * Redis library, which is loaded when it is first used.
 */
import { InvalidSettingError, StoreError } from '../errors.ts'

/** How to reach Redis. */
export interface RedisOptions {
  /**
   * `redis://user:password@host:6379/0`, or `rediss://` for TLS; the path is the number of the database. With `sentinel` its host
   * and port do not count.
   * @default process.env.EVENTAIL_REDIS_URL, unless there is `sentinel`; else 'redis://localhost:6379'
   */
  readonly url?: string
  /** Where the Sentinels of a group are, in the place of a server. @default a single server */
  readonly sentinel?: {
    /** Of the group, as Sentinel's configuration has it: `mymaster`. */
    readonly name: string
    /** Its Sentinels, one at least. */
    readonly nodes: readonly { readonly host: string; readonly port: number }[]
    /** User and password of the Sentinels themselves; those of Redis are in `url`. @default none */
    readonly username?: string
    readonly password?: string
  }
  /** For `rediss://`, also through Sentinel: as Node's `tls.connect` takes them. The server's certificate is always verified. */
  readonly tls?: {
    /** Certificate authority to trust instead of the well-known ones, PEM. */
    readonly ca?: string | Buffer
    /** Client certificate, PEM. */
    readonly cert?: string | Buffer
    /** Its private key, PEM. */
    readonly key?: string | Buffer
    /** Of the private key. */
    readonly passphrase?: string
    /** The name to verify the server's certificate against, when it isn't the host. */
    readonly servername?: string
  }
  /** How long a command may take, connecting included, in milliseconds. @default 2_000 */
  readonly timeoutMs?: number
}

type Library = typeof import('@redis/client')

/** What is needed of the library's clients, which have no type in common. */
interface Client {
  send(args: readonly (string | Buffer)[]): Promise<unknown>
  isReady(): boolean
  /** In good order, where it is connected. */
  close(): Promise<unknown>
  destroy(): unknown
}

/** Where Redis is, read from the options; the password in no dump. */
interface Address {
  readonly host: string
  readonly port: number
  readonly database: number
  readonly username: string | undefined
  readonly password: () => string | undefined
  readonly isTls: boolean
  /** As it may be shown. */
  readonly shown: string
}

const LONGEST_RECONNECT_MS = 2_000
/** How often the Sentinels are asked who is the master. */
const SENTINEL_SCAN_MS = 1_000

export class Redis {
  readonly shown: string
  readonly #options: RedisOptions
  readonly #address: Address
  readonly #timeoutMs: number
  #client: Promise<Client> | undefined
  #lastError = ''
  #isClosed = false

  /** Connects only when it is used. @throws InvalidSettingError */
  constructor(options: RedisOptions) {
    this.#options = options
    this.#address = addressOf(options)
    this.#timeoutMs = options.timeoutMs ?? 2_000
    this.shown = options.sentinel === undefined ? this.#address.shown : `Redis group '${options.sentinel.name}'`
  }

  /**
   * Sends a command.
   * @returns the reply; texts as buffers
   * @throws StoreError when there is none in time, or Redis refuses the command
   */
  async run(...args: readonly (string | Buffer)[]): Promise<unknown> {
    if (this.#isClosed) throw new StoreError(`${this.shown}: the store was closed: make a new one`)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const why = this.#lastError === '' ? '' : `: ${this.#lastError}`
        reject(new StoreError(`${this.shown}: no answer within ${this.#timeoutMs} ms${why}`))
      }, this.#timeoutMs)
    })
    try {
      return await Promise.race([this.#send(args), late])
    } catch (error) {
      if (error instanceof StoreError) throw error
      const text = textOf(error)
      // a refused password shows only where the connection was made
      const why = this.#lastError === '' || this.#lastError === text ? text : `${text} (${this.#lastError})`
      throw new StoreError(`${this.shown}: ${why}`, { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const client = await this.#client?.catch(() => undefined)
    if (client === undefined) return
    try {
      // one that is not connected cannot be closed in good order
      await (client.isReady() ? client.close() : client.destroy())
    } catch {
      // it was gone already
    }
  }

  async #send(args: readonly (string | Buffer)[]): Promise<unknown> {
    this.#client ??= this.#connect()
    const client = await this.#client
    return client.send(args)
  }

  async #connect(): Promise<Client> {
    const { createClient, createSentinel, RESP_TYPES } = await library()
    const { host, port, database, username, isTls, password } = this.#address
    const secret = password()
    const credentials = {
      ...(username === undefined ? undefined : { username }),
      ...(secret === undefined ? undefined : { password: secret }),
    }
    const tls = isTls
      ? { ...this.#options.tls, tls: true as const, rejectUnauthorized: true, minVersion: 'TLSv1.2' as const }
      : undefined
    const socket = {
      connectTimeout: this.#timeoutMs,
      reconnectStrategy: (retries: number) =>
        Math.min(LONGEST_RECONNECT_MS, 50 * 2 ** Math.min(retries, 6)) * (0.5 + Math.random() / 2),
      ...tls,
    }
    const { sentinel } = this.#options
    const commandOptions = () => ({
      typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer },
      // what has not left by then is not sent any more
      abortSignal: AbortSignal.timeout(this.#timeoutMs),
    })
    if (sentinel === undefined) {
      const client = createClient({ ...credentials, database, socket: { ...socket, host, port } })
      const connected = this.#watch(client)
      return {
        send: async (args) => {
          await connected
          return client.sendCommand([...args], commandOptions())
        },
        isReady: () => client.isReady,
        close: () => client.close(),
        destroy: () => client.destroy(),
      }
    }
    const client = createSentinel({
      name: sentinel.name,
      sentinelRootNodes: sentinel.nodes.map((node) => ({ ...node })),
      nodeClientOptions: { ...credentials, database, socket },
      sentinelClientOptions: {
        socket,
        ...(sentinel.username === undefined ? undefined : { username: sentinel.username }),
        ...(sentinel.password === undefined ? undefined : { password: sentinel.password }),
      },
      scanInterval: SENTINEL_SCAN_MS,
      passthroughClientErrorEvents: true,
    })
    const connected = this.#watch(client)
    return {
      send: async (args) => {
        await connected
        return client.sendCommand(false, [...args], commandOptions())
      },
      isReady: () => client.isReady,
      close: () => client.close(),
      destroy: () => client.destroy(),
    }
  }

  /** Connects. A command that is sent before would be refused where a password is wanted. */
  #watch(client: {
    on(event: string, listener: (error: unknown) => void): unknown
    connect(): Promise<unknown>
    destroy(): unknown
  }): Promise<unknown> {
    client.on('error', (error) => {
      this.#lastError = textOf(error)
    })
    client.on('ready', () => {
      this.#lastError = ''
    })
    const connected = client.connect()
    connected.catch((error: unknown) => {
      this.#lastError = textOf(error)
      // the next command begins anew
      if (!this.#isClosed) client.destroy()
      this.#client = undefined
    })
    return connected
  }
}

let loading: Promise<Library> | undefined

/** @throws InvalidSettingError when it is not installed */
async function library(): Promise<Library> {
  loading ??= import('@redis/client').catch((error: unknown) => {
    loading = undefined
    throw new InvalidSettingError('store', "needs the package '@redis/client': npm install @redis/client", {
      cause: error,
    })
  })
  return loading
}

function textOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return textOf(error.errors[0])
  return error instanceof Error ? error.message : String(error)
}

/** @throws InvalidSettingError that never holds the URL, which may have a password in it */
function addressOf({ url: given, sentinel }: RedisOptions): Address {
  const ofEnvironment =
    given === undefined && sentinel === undefined ? process.env['EVENTAIL_REDIS_URL'] || undefined : undefined
  const setting = ofEnvironment === undefined ? 'url of the store' : 'EVENTAIL_REDIS_URL'
  const url = given ?? ofEnvironment ?? 'redis://localhost:6379'
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !/^rediss?:$/.test(parsed.protocol))
    throw new InvalidSettingError(
      setting,
      'is not a URL like redis://user:password@host:6379/0; percent-encode special characters (/ @ : %) in user and password',
    )
  const database = parsed.pathname.replace(/^\//, '')
  if (!/^\d{0,5}$/.test(database))
    throw new InvalidSettingError(setting, 'the path must be the number of a database, as in redis://localhost:6379/0')
  if (sentinel !== undefined && (sentinel.name === '' || sentinel.nodes.length === 0))
    throw new InvalidSettingError('sentinel', 'needs the name of the group, and one node at least')
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost'
  const port = parsed.port === '' ? 6379 : Number(parsed.port)
  const secret = parsed.password === '' ? undefined : decodeURIComponent(parsed.password)
  return {
    host,
    port,
    database: Number(database),
    username: parsed.username === '' ? undefined : decodeURIComponent(parsed.username),
    password: () => secret,
    isTls: parsed.protocol === 'rediss:',
    shown: `Redis at ${host}:${port}`,
  }
}
