/** How the commands reach the broker, and what keeps them from doing harm there. Loaded only when a command runs. */
import { ManagementError } from '../errors.ts'
import { ManagementApi } from '../management/api.ts'
import { quorumLimitOf, type Routes, takeRoutes } from '../management/snapshot.ts'
import { serviceOfQueue } from '../topology/names.ts'
import { AmqpConnection, type ConnectionSettings } from '../transport/amqp-connection.ts'
import type { BrokerTls } from '../transport/broker-tls.ts'
import type { BrokerUrl } from '../transport/broker-url.ts'
import type { QueueReader } from '../transport/queue-reader.ts'
import { counted, visible } from '../wire/text.ts'
import { type Terminal, warnOfPassword } from './command-line.ts'

/** How the commands connect. */
export function connectionSettings(command: string, tls: BrokerTls | undefined): ConnectionSettings {
  return { name: `eventail ${command}`, tls, connectTimeoutMs: 5_000, heartbeatMs: 30_000 }
}

/** @throws ConnectionError when the broker cannot be reached now: a command that does one thing does not wait for it */
export async function checkBroker(broker: BrokerUrl, tls: BrokerTls | undefined, { signal }: Terminal): Promise<void> {
  const connection = await AmqpConnection.open(broker, connectionSettings('check', tls), signal)
  await connection.shutDown(2_000)
}

/** The broker's management API, where the options or the environment say it is. */
export function managementOf(broker: BrokerUrl, url: string | undefined, terminal: Terminal): ManagementApi {
  if (url !== undefined) warnOfPassword(url, 'use EVENTAIL_MANAGEMENT_URL', terminal)
  return new ManagementApi(broker, url ?? (process.env['EVENTAIL_MANAGEMENT_URL'] || undefined))
}

/** Who would receive what. Where the management API does not answer, says what is not known then, and the rest works without. */
export async function routesIfKnown(
  api: ManagementApi,
  unknown: string,
  terminal: Terminal,
): Promise<Routes | undefined> {
  try {
    return await takeRoutes(api)
  } catch (error) {
    if (!(error instanceof ManagementError)) throw error
    terminal.say(`${error.message}; ${unknown} (see --management-url)`)
    return undefined
  }
}

/**
 * Whether the messages of a queue may be looked at: the broker marks them as redelivered, which uses up the one retry that those of a
 * service have, and counts for the delivery limit of a quorum queue. Says why not.
 */
export async function mayRead(
  reader: QueueReader,
  { api, force }: { readonly api: ManagementApi; readonly force: boolean | undefined },
  terminal: Terminal,
): Promise<boolean> {
  if (force === true) return true
  const queue = visible(reader.queue)
  const { messages, consumers } = await reader.counts()
  if (serviceOfQueue(reader.queue) !== undefined || consumers > 0) {
    terminal.say(
      `'${queue}' is a live queue (${counted(messages, 'message')}, ${counted(consumers, 'consumer')}). Looking at it makes the broker mark its`,
    )
    terminal.say(
      'messages as redelivered, which uses up the one retry that each has when its handler fails. Use --force to do it all the same.',
    )
    return false
  }
  const limit = await quorumLimitOf(api, reader.queue).catch((error: unknown) => {
    if (!(error instanceof ManagementError)) throw error
    return undefined
  })
  if (limit === undefined) return true
  terminal.say(
    `'${queue}' is a quorum queue with a delivery limit of ${limit}: each look counts as a delivery, and beyond the limit the broker`,
  )
  terminal.say('drops a message, or moves it on. Use --force to do it all the same.')
  return false
}
