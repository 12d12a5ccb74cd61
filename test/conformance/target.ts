/** The two brokers that are compared, each with a virtual host of the same name. */
import { DevBroker } from '../../src/broker/dev-broker.ts'
import { Management } from '../bus/management.ts'

/** What the definition of a policy applies to. */
type ApplyTo = 'queues' | 'exchanges' | 'all'

export interface Target extends AsyncDisposable {
  readonly name: 'RabbitMQ' | 'the development broker'
  readonly host: string
  readonly port: number
  readonly vhost: string
  /** With the virtual host. */
  readonly url: string
  /** Sets or replaces a policy of the virtual host; of those that match the one of higher priority applies. */
  setPolicy(name: string, pattern: string, definition: Record<string, unknown>, options?: PolicyOptions): Promise<void>
  clearPolicy(name: string): Promise<void>
}

export interface PolicyOptions {
  readonly applyTo?: ApplyTo
  readonly priority?: number
}

/** The broker of this run of the tests. */
export async function rabbitmq(brokerUrl: string, managementUrl: string, vhost: string): Promise<Target> {
  const management = new Management(managementUrl, vhost)
  await management.createVhost()
  const { hostname, port } = new URL(brokerUrl)
  const path = `policies/${encodeURIComponent(vhost)}`
  return {
    name: 'RabbitMQ',
    host: hostname,
    port: Number(port),
    vhost,
    url: `${brokerUrl}/${encodeURIComponent(vhost)}`,
    setPolicy: async (name, pattern, definition, { applyTo = 'queues', priority = 0 } = {}) => {
      await management.api('PUT', `${path}/${name}`, { pattern, definition, 'apply-to': applyTo, priority })
    },
    clearPolicy: (name) => management.deletePolicy(name),
    [Symbol.asyncDispose]: () => management.deleteVhost(),
  }
}

/** A development broker of its own. */
export async function developmentBroker(vhost: string): Promise<Target> {
  const broker = await DevBroker.start()
  broker.addVhost(vhost)
  return {
    name: 'the development broker',
    host: broker.host,
    port: broker.port,
    vhost,
    url: `${broker.url}/${encodeURIComponent(vhost)}`,
    setPolicy: async (name, pattern, definition, { applyTo = 'queues', priority = 0 } = {}) =>
      broker.setPolicy({ vhost, name, pattern, definition, applyTo, priority }),
    clearPolicy: async (name) => broker.clearPolicy(vhost, name),
    [Symbol.asyncDispose]: () => broker.close(),
  }
}
