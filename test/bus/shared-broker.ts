/** One private broker for a whole run of the tests, unless EVENTAIL_AMQP_URL names one that runs already. */
import type { TestProject } from 'vitest/node'
import { startBroker } from '../../dev/broker.mjs'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Without a virtual host. */
    brokerUrl: string
    /** Of the management API; empty for a broker that is not ours. */
    managementUrl: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['EVENTAIL_AMQP_URL']
  if (given !== undefined && given !== '') {
    project.provide('brokerUrl', given)
    project.provide('managementUrl', '')
    return async () => {}
  }
  const broker = await startBroker({ management: true })
  project.provide('brokerUrl', broker.url)
  project.provide('managementUrl', broker.managementUrl ?? '')
  return () => broker.dispose()
}
