/**
 * What a whole run of the tests shares: the package as users get it, built, and one private broker, unless EVENTAIL_AMQP_URL
 * names one that runs already.
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
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
  const broker = await startBroker({ management: true })
  project.provide('brokerUrl', broker.url)
  project.provide('managementUrl', broker.managementUrl ?? '')
  return () => broker.dispose()
}
