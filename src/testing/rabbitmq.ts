/** A bus of tests on a RabbitMQ that runs: in a virtual host of its own, made and removed through the management API. */
import { type AccessRefusedError, ManagementError } from '../errors.ts'
import { ManagementApi } from '../management/api.ts'
import { parseBrokerUrl } from '../transport/broker-url.ts'
import { newId } from '../wire/ids.ts'
import { DEAD_LETTER_POLICY } from '../topology/dead-letters.ts'
import type { TestBroker } from './test-broker.ts'

/**
 * Makes the virtual host.
 * @param url of the broker; a virtual host in it is left alone
 * @param managementUrl of its management API
 * @throws ManagementError when that does not answer, or the user may not make virtual hosts; InvalidSettingError
 */
export async function useRabbitmq(url: string, managementUrl: string | undefined): Promise<TestBroker> {
  const vhost = `eventail-test-${newId()}`
  const { user } = parseBrokerUrl(url)
  const own = new URL(url)
  own.pathname = `/${vhost}`
  const api = new ManagementApi(parseBrokerUrl(own.href), managementUrl)
  const { name, pattern, definition, applyTo, priority } = DEAD_LETTER_POLICY
  try {
    // the recorder reads the trace
    await api.put(`vhosts/${vhost}`, { tracing: true })
    await api.put(`permissions/${vhost}/${encodeURIComponent(user)}`, { configure: '.*', write: '.*', read: '.*' })
    await api.put(`policies/${vhost}/${name}`, { pattern, definition, priority, 'apply-to': applyTo })
  } catch (error) {
    await api.delete(`vhosts/${vhost}`).catch(() => {})
    if (!(error instanceof ManagementError)) throw error
    throw new ManagementError(
      `a bus of tests needs a virtual host of its own, made through the management API by a user with the tag 'administrator': ${error.message}; set managementUrl or EVENTAIL_MANAGEMENT_URL`,
      { cause: error },
    )
  }
  return {
    kind: 'rabbitmq',
    url: own.href,
    activity: () => 0,
    release: () => false,
    close: () => api.delete(`vhosts/${vhost}`),
  }
}

/** The virtual host was made, and yet the broker does not have it. */
export function ofOtherBroker(error: AccessRefusedError): ManagementError {
  return new ManagementError(
    `the management API made a virtual host for this bus of tests, and the broker refuses it: is it the API of another broker? Set managementUrl or EVENTAIL_MANAGEMENT_URL to that of this one (${error.message})`,
    { cause: error },
  )
}
