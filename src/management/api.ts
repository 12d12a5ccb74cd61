/**
 * The management API of RabbitMQ, over HTTP: what AMQP itself cannot tell, such as bindings, policies and who is connected.
 * Source: the API's own reference, at /api on every management port.
 */
import { InvalidSettingError, ManagementError } from '../errors.ts'
import type { BrokerUrl } from '../transport/broker-url.ts'

const TIMEOUT_MS = 10_000
const DEFAULT_PORT = 15_672

export class ManagementApi {
  /** Host and port, to be shown. */
  readonly address: string
  readonly #base: string
  readonly #authorization: string
  readonly #vhost: string

  /**
   * Asks nothing yet.
   * @param url of the API, as `http://localhost:15672`; with a user and a password in it, or else those of the broker
   * are used. Default: port 15672 of the broker's host.
   * @throws InvalidSettingError when the URL is none of HTTP
   */
  constructor(broker: BrokerUrl, url?: string) {
    const host = broker.host.includes(':') ? `[${broker.host}]` : broker.host
    const given = url ?? `http://${host}:${DEFAULT_PORT}`
    if (!/^https?:\/\//.test(given) || !URL.canParse(given))
      throw new InvalidSettingError('--management-url', 'must be a URL like http://localhost:15672')
    const base = new URL(given)
    // what is left of a password with a '/' in it
    if (base.pathname.includes('@'))
      throw new InvalidSettingError(
        '--management-url',
        "has an '@' behind the host: percent-encode / @ : % in user and password",
      )
    const user = base.username === '' ? broker.user : decoded(base.username)
    const password = base.username === '' ? broker.password : decoded(base.password)
    this.address = base.host
    this.#base = `${base.origin}${base.pathname.replace(/\/$/, '')}/api`
    this.#authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
    this.#vhost = encodeURIComponent(broker.vhost)
  }

  /**
   * Asks for what there is of a kind in the broker's virtual host: `queues`, `bindings`, `exchanges`, `policies`…
   * @throws ManagementError
   */
  async listOf(kind: string): Promise<readonly Record<string, unknown>[]> {
    return listIn(await this.get(`${kind}/${this.#vhost}`))
  }

  /** The connections to the broker's virtual host. @throws ManagementError */
  async connections(): Promise<readonly Record<string, unknown>[]> {
    return listIn(await this.get(`vhosts/${this.#vhost}/connections`))
  }

  /** The nodes of the cluster. @throws ManagementError, also when the user may not monitor them */
  async nodes(): Promise<readonly Record<string, unknown>[]> {
    return listIn(await this.get('nodes'))
  }

  /** @param path below `/api/` @throws ManagementError */
  async get(path: string): Promise<unknown> {
    const response = await this.#ask('GET', path)
    try {
      return await response.json()
    } catch (error) {
      throw new ManagementError(`what answers at ${this.address} is no management API of RabbitMQ`, { cause: error })
    }
  }

  /** Makes something, or changes it. @param path below `/api/` @throws ManagementError */
  async put(path: string, value: object): Promise<void> {
    await this.#ask('PUT', path, JSON.stringify(value))
  }

  /** @param path below `/api/` @throws ManagementError, also when there is no such thing */
  async delete(path: string): Promise<void> {
    await this.#ask('DELETE', path)
  }

  async #ask(method: 'GET' | 'PUT' | 'DELETE', path: string, body?: string): Promise<Response> {
    let response: Response
    try {
      response = await fetch(`${this.#base}/${path}`, {
        method,
        ...(body !== undefined && { body }),
        headers: { authorization: this.#authorization, 'content-type': 'application/json' },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      })
    } catch (error) {
      const { cause, message } = error as Error
      const why = cause instanceof Error && cause.message !== '' ? cause.message : message
      throw new ManagementError(`no answer from the management API at ${this.address}: ${why}`, { cause: error })
    }
    if (response.status === 401)
      throw new ManagementError(
        `the management API at ${this.address} refused the user: check user and password, and that it has the tag 'management' or 'monitoring'`,
      )
    if (!response.ok)
      throw new ManagementError(`the management API at ${this.address} answered ${response.status} to ${path}`)
    return response
  }
}

/** @throws InvalidSettingError */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new InvalidSettingError('--management-url', "is not percent-encoded properly; write '%' as '%25'")
  }
}

function listIn(answer: unknown): readonly Record<string, unknown>[] {
  return Array.isArray(answer) ? (answer as Record<string, unknown>[]) : []
}
