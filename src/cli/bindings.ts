/** Who would receive a message: the broker's bindings, from its management API where that answers. */
import { matches } from '../topology/match.ts'
import type { BrokerUrl } from '../transport/broker-url.ts'
import { ManagementError, type Terminal, UsageError } from './command-line.ts'

interface Binding {
  readonly source: string
  readonly destination: string
  readonly destination_type: string
  readonly routing_key: string
}

const TIMEOUT_MS = 3_000

export class Bindings {
  readonly #bindings: readonly Binding[]

  private constructor(bindings: readonly Binding[]) {
    this.#bindings = bindings
  }

  /** @returns undefined, with a line that says so, when the API does not answer */
  static async read(
    broker: BrokerUrl,
    managementUrl: string | undefined,
    terminal: Terminal,
  ): Promise<Bindings | undefined> {
    try {
      const list = (await askManagement(
        broker,
        managementUrl,
        `bindings/${encodeURIComponent(broker.vhost)}`,
      )) as Binding[]
      return new Bindings(list)
    } catch (error) {
      if (!(error instanceof ManagementError)) throw error
      terminal.say(`${error.message}: who would receive the letters is not known; see --management-url`)
      return undefined
    }
  }

  /** The queues that a message on a topic exchange would reach, exchange-to-exchange bindings included. */
  receiversOf(exchange: string, routingKey: string, seen = new Set<string>()): readonly string[] {
    if (seen.has(exchange)) return []
    seen.add(exchange)
    const queues = this.#bindings
      .filter(({ source, routing_key }) => source === exchange && matches(routing_key, routingKey))
      .flatMap(({ destination, destination_type }) =>
        destination_type === 'queue' ? [destination] : this.receiversOf(destination, routingKey, seen),
      )
    return [...new Set(queues)].toSorted()
  }
}

/** Asks the management API with the broker's own user. @throws ManagementError, UsageError */
export async function askManagement(
  broker: BrokerUrl,
  managementUrl: string | undefined,
  path: string,
): Promise<unknown> {
  const host = broker.host.includes(':') ? `[${broker.host}]` : broker.host
  const address = managementUrl ?? `http://${host}:15672`
  if (!/^https?:/.test(address) || !URL.canParse(address))
    throw new UsageError('--management-url must be a URL like http://localhost:15672')
  const base = new URL(address)
  const user = base.username === '' ? broker.user : decodeURIComponent(base.username)
  const password = base.username === '' ? broker.password : decodeURIComponent(base.password)
  const response = await fetch(`${base.origin}${base.pathname.replace(/\/$/, '')}/api/${path}`, {
    headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch((error: unknown) => {
    const { cause, message } = error as Error
    throw new ManagementError(
      `no answer from the management API at ${base.host}: ${cause instanceof Error ? cause.message : message}`,
    )
  })
  if (!response.ok)
    throw new ManagementError(`the management API at ${base.host} answered ${response.status} ${response.statusText}`)
  return response.json()
}
