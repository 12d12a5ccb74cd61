/**
 * What a whole run of the tests shares: the package as users get it, built, and one private broker, unless EVENTAIL_AMQP_URL
 * names one that runs already. With EVENTAIL_TEST_BROKER=development it is the development broker.
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { TestProject } from 'vitest/node'
import { startBroker } from '../../dev/broker.mjs'
import { DevBroker } from '../../src/broker/dev-broker.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Without a virtual host. */
    brokerUrl: string
    /** Of the management API; empty for a broker that is not ours. */
    managementUrl: string
  }
}

const root = fileURLToPath(new URL('../..', import.meta.url))

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  try {
    execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' })
  } catch {
    throw new Error('the package does not build: see above, and mend it first')
  }
  const given = process.env['EVENTAIL_AMQP_URL']
  if (given !== undefined && given !== '') {
    project.provide('brokerUrl', given)
    project.provide('managementUrl', '')
    return async () => {}
  }
  if (process.env['EVENTAIL_TEST_BROKER'] === 'development') {
    const broker = await DevBroker.start({ managementPort: 0 })
    project.provide('brokerUrl', `amqp://${broker.host}:${broker.port}`)
    project.provide('managementUrl', broker.managementUrl ?? '')
    return () => broker.close()
  }
  const broker = await startBroker({ management: true })
  project.provide('brokerUrl', broker.url)
  project.provide('managementUrl', broker.managementUrl ?? '')
  return () => broker.dispose()
}
